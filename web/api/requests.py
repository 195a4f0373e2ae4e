"""What the API is asked, as it stands in `/api/v1/openapi.json`: fields, types and limits."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field

from query_sets.batch_request import MAX_QUERIES, SearchBatch
from search.query_images import Source
from search.request import SearchRequest
from vocabulary import QUALITY_LIMIT

MAX_ID = 2**53 - 1  # beyond it, not every whole number is one of JSON's
MAX_IMAGES = 16  # of one request
_STORABLE = r"^[^\x00]*$"  # Postgres keeps any character but this one


def _whole(value: object) -> object:
    """JSON has one kind of number: 7.0 is as whole as 7."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


Whole = Annotated[int, BeforeValidator(_whole)]
Text = Annotated[str, Field(max_length=10_000, pattern=_STORABLE)]
Name = Annotated[str, Field(min_length=1, max_length=200, pattern=_STORABLE)]
Id = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(_whole)]

EXAMPLE_QUESTION: dict[str, Any] = {
    "collections": ["gallery"],
    "where": "gender = female and upper_color in (red, white) and not hat",
    "max_distance": "auto",
    "limit": 20,
}


class QuestionBody(BaseModel):
    """Where to look, filter and limits, as the options of `reid search`."""

    model_config = ConfigDict(extra="forbid")

    collections: Annotated[list[Name], Field(min_length=1, max_length=100)] = Field(
        description="The collections to search in."
    )
    image_ids: Annotated[list[Id], Field(max_length=MAX_IMAGES)] = Field(
        default=[], description="Stored images as queries, by their id."
    )
    where: Text | None = Field(default=None, description="A filter, as in docs/filters.md.")
    max_distance: float | Literal["auto"] | None = Field(
        default=None, description="Only matches this close; `auto` is the model's calibrated limit."
    )
    limit: Whole | None = Field(
        default=None, description="At most so many matches; 50 where no max_distance is given."
    )
    not_same_camera: bool = Field(default=False, description="Leave out the query's own camera.")
    no_duplicates: bool = Field(
        default=False, description="Leave out images that are byte-identical to the query."
    )
    model: Name | None = Field(default=None, description="A registered model; else the active one.")


class SearchBody(QuestionBody):
    """A question. With several images each has its answer, unless they show the `same_person`;
    without any the filter alone is searched."""

    model_config = ConfigDict(
        json_schema_extra={"examples": [{**EXAMPLE_QUESTION, "image_ids": [17]}]}
    )

    rerank: bool = Field(
        default=False, description="Order the matches by the neighbours they share with the query."
    )
    candidates: Whole | None = Field(default=None, description="Re-rank so many closest images.")
    approximate: bool = Field(
        default=False, description="Let the model's index propose matches; some may be missing."
    )
    explain: bool = Field(default=False, description="Say how each answer came about.")
    same_person: bool = Field(default=False, description="All images show one person: one query.")
    nearest: bool = Field(
        default=False, description="Of one person's images the nearest decides, not their mean."
    )
    purpose: Text | None = Field(default=None, description="Why; kept in the audit log.")

    def request(self, files: tuple[tuple[str, Source], ...]) -> SearchRequest:
        """Make the request, with the images that were sent."""
        given = {name: getattr(self, name) for name in SearchBody.model_fields}
        given |= {"collections": tuple(self.collections), "image_ids": tuple(self.image_ids)}
        return SearchRequest(**given, files=files)


class BatchBody(QuestionBody):
    """One question for many queries: stored images, and embeddings by the same model."""

    model_config = ConfigDict(
        strict=True,
        json_schema_extra={"examples": [{**EXAMPLE_QUESTION, "image_ids": [17, 18, 19]}]},
    )

    image_ids: Annotated[list[Id], Field(max_length=MAX_QUERIES)] = Field(
        default=[], description="Stored images as queries, by their id."
    )
    embeddings: Annotated[list[list[float]], Field(max_length=MAX_QUERIES)] = Field(
        default=[], description="Queries as embeddings, as many numbers each as the model has."
    )
    purpose: Text | None = Field(default=None, description="Why; kept in the audit log.")

    def batch(self) -> SearchBatch:
        """Raises BadQuestion."""
        given = self.model_dump(exclude={"image_ids", "embeddings"})
        request = SearchRequest(**given | {"collections": tuple(self.collections)})
        return SearchBatch(request, tuple(self.image_ids), tuple(self.embeddings))


class QuerySetBody(QuestionBody):
    """Images to keep as queries of a set, one each, which is made where there is none."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "lost child", **EXAMPLE_QUESTION, "image_ids": [17, 18]}]
        }
    )

    name: Name = Field(description="The set's name.")
    rerank: bool = Field(
        default=False, description="Lists by the re-ranked distance; `auto` is its own limit."
    )

    def request(self) -> SearchRequest:
        """Make the request: where to look and the limits, without the images."""
        given = self.model_dump(exclude={"name", "image_ids"})
        return SearchRequest(**given | {"collections": tuple(self.collections)})


class ImageBody(BaseModel):
    """Where an image goes. Person and camera are read from its file name."""

    model_config = ConfigDict(extra="forbid")

    collection: Name = Field(description="The collection, made where there is none.")
    identities: Name | None = Field(
        default=None, description="A new collection's identity space; else `default`."
    )
    allow_any_shape: bool = Field(
        default=False, description="Take in what is no upright person crop too."
    )


class RunBody(BaseModel):
    """How a set is run."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"purpose": "case 12"}]}
    )

    model: Name | None = Field(default=None, description="A registered model; else the active one.")
    purpose: Text | None = Field(default=None, description="Why; kept in the audit log.")


class VerdictBody(BaseModel):
    """A reviewer's word on a query and an image."""

    model_config = ConfigDict(
        extra="forbid", json_schema_extra={"examples": [{"verdict": "confirmed"}]}
    )

    verdict: Literal["confirmed", "rejected"]
    note: Text | None = Field(default=None, description="Why; at most 2,000 characters.")


Quality = Annotated[
    float, Field(ge=0, le=1, description="Matches of less crop quality are left out of reid_test.")
]
DEFAULT_QUALITY = QUALITY_LIMIT
