"""What one running page holds."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from search.networks import Networks
from web.front import Front
from web.kept_answers import KeptAnswers
from web.metrics import Meter
from web.rate_limit import PER_MINUTE, Rates
from web.sessions import Access
from web.uploads import Uploads
from web.vitals import Vitals

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True)
class State:
    """Shared by all requests, in any thread."""

    engine: "Engine"
    access: Access
    front: Front
    vitals: Vitals
    device: str | None = None
    rates: Rates = field(default_factory=lambda: Rates.of(PER_MINUTE))
    networks: Networks = field(default_factory=Networks)
    uploads: Uploads = field(default_factory=Uploads)
    answers: KeptAnswers = field(default_factory=KeptAnswers)
    meter: Meter = field(default_factory=Meter)


async def state_of(request: Request) -> State:  # in the event loop: it needs no thread
    state = request.app.state.reid
    assert isinstance(state, State)
    return state


Here = Annotated[State, Depends(state_of)]
