"""Networks kept loaded in a process that stays."""

from collections import OrderedDict
from hashlib import sha256
from threading import Lock

from PIL import Image

from gallery.model_rows import ModelRow
from gallery.models import load_network
from images.preprocessing import Pixels, Preprocessing
from models.outputs import Network, Outputs

_REMEMBERED = 256  # embeddings, of 2 KB each


class Networks:
    """The network of the model in use, loaded once and kept. Safe to call from any thread."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._kept: dict[tuple[str, str | None], Network] = {}

    def __call__(self, model: ModelRow, device: str | None) -> Network:
        key = (model.content_hash, device)
        with self._lock:
            if key not in self._kept:
                # the one before it belongs to a model that is no longer active
                self._kept = {key: _Remembering(load_network(model, device))}
            return self._kept[key]


class _Remembering:
    """A network that looks at each image once: who moves a limit asks about the same one again."""

    def __init__(self, network: Network) -> None:
        self._network = network
        self._known: OrderedDict[bytes, Outputs] = OrderedDict()
        self._lock = Lock()

    @property
    def name(self) -> str:
        return self._network.name

    @property
    def preprocessing(self) -> Preprocessing:
        return self._network.preprocessing

    def pixels_of(self, image: Image.Image) -> Pixels:
        return self._network.pixels_of(image)

    def __call__(self, pixels_NHWC: Pixels) -> Outputs:
        key = sha256(pixels_NHWC.tobytes()).digest()
        with self._lock:
            known = self._known.get(key)
        if known is None:
            known = self._network(pixels_NHWC)
            with self._lock:
                self._known[key] = known
                while len(self._known) > _REMEMBERED:
                    self._known.popitem(last=False)
        return known
