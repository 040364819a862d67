"""What the server takes and gives, version 1, as OpenAPI describes it at `/v1/openapi.json`."""

from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Digest = Annotated[str, Field(pattern=r"^[0-9a-f]{64}$")]
Voxel = Annotated[list[int], Field(min_length=3, max_length=3)]
Row = Annotated[list[float], Field(min_length=4, max_length=4)]
SessionId = Annotated[str, Field(pattern=r"^[0-9a-f]{32}$")]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", strict=True, allow_inf_nan=False)


class ServerInfo(BaseModel):
    """What a client should know before it begins."""

    protocol: int
    program: str
    user: str
    models: list[str]
    roots: list[str] = Field(description="Folders whose scans may be named instead of sent.")
    body_bytes: int
    volume_bytes: int


class ModelInfo(BaseModel):
    """A model, loaded."""

    name: str
    fingerprint: str
    device: str


class VolumeHeader(_Strict):
    """What is known of a volume before its voxels."""

    shape: Voxel
    dtype: Annotated[str, Field(pattern=r"^(\|[iu]1|<[iu][248]|<f4)$")]
    affine: Annotated[list[Row], Field(min_length=4, max_length=4)]
    planes: Annotated[int, Field(ge=1, description="Planes along the last axis in a chunk.")]


class VolumePath(_Strict):
    """A volume that the server can read by itself."""

    path: Annotated[str, Field(max_length=4096)]


class VolumeState(BaseModel):
    """What the server has of a volume."""

    complete: bool
    missing: list[int] = Field(description="Numbers of the chunks that are still to be sent.")


class Log(_Strict):
    """The prompts of an object, in the order in which they were given: the client owns them.

    What a replica has seen before need not be said again: `base` is the digest of that. A replica
    that does not know it answers 409 `unknown_log`, and is told all with `base` null.
    """

    base: Digest | None = None
    append: Annotated[list[dict[str, Any]], Field(max_length=10_000)]


class StepRequest(_Strict):
    """A mask is asked for."""

    protocol: int
    session: SessionId
    number: Annotated[int, Field(ge=0, description="Counts up through a session.")]
    model: Annotated[str, Field(max_length=200)]
    volume: Digest
    log: Log
    since: Digest | None = Field(
        None, description="Digest of a mask that the client has: only what differs is sent."
    )


class AheadRequest(StepRequest):
    """The answer to a click that may come is to be made ahead."""

    click: Voxel
    positive: bool = True
    encode_only: bool = False


class Packed(BaseModel):
    """A mask: its box, and its voxels as bits, the first axis fastest, by zlib, in base64."""

    box: list[Voxel]
    bits: str


class CropView(BaseModel):
    """What the model looked at."""

    centre: list[float]
    spacing: float
    size: int


class StepAnswer(BaseModel):
    """What the prompts make of the object."""

    since: Digest | None = Field(description="The mask that `changed` is to be compared with.")
    changed: Packed
    mask: Digest
    crop: CropView | None
    predicted_iou: float | None
    notes: list[str]
    in_air: bool


class StepReply(BaseModel):
    """The answer to a request of that number."""

    number: int
    fingerprint: str
    step: StepAnswer


class CandidatesReply(BaseModel):
    """What the newest click or box may mean, the smallest first."""

    number: int
    fingerprint: str
    steps: list[StepAnswer]


class AheadReply(BaseModel):
    """Whether anything was done."""

    number: int
    done: bool


class Problem(BaseModel):
    """Why a request was refused; `kind` is for programs."""

    kind: str
    problem: str
    remedy: str
