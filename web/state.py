"""What one running page holds."""

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated

from fastapi import Depends, Request

from actions.page import Networks
from web.access import Access
from web.hosts import Hosts
from web.uploads import Uploads

if TYPE_CHECKING:
    from sqlalchemy import Engine


@dataclass(frozen=True)
class State:
    """Shared by all requests, in any thread."""

    engine: "Engine"
    access: Access
    hosts: Hosts
    device: str | None = None
    networks: Networks = field(default_factory=Networks)
    uploads: Uploads = field(default_factory=Uploads)


def state_of(request: Request) -> State:
    state = request.app.state.reid
    assert isinstance(state, State)
    return state


Here = Annotated[State, Depends(state_of)]
