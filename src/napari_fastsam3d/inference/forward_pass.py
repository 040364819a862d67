"""One forward pass of the model: a crop is encoded once, and each prompt decoded from that."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from napari_fastsam3d.geometry.crop import Crop
from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.geometry.volume import Volume
from napari_fastsam3d.inference.adapted import AdaptedModel, AdaptedModels
from napari_fastsam3d.inference.cache import Cache
from napari_fastsam3d.inference.connected_components import ProtectedSeeds, without_small_components
from napari_fastsam3d.inference.locality import is_correction, locally_blended
from napari_fastsam3d.inference.memory_prompt import MemoryPrompt
from napari_fastsam3d.inference.model_input import ModelInput, fed_back, last_box
from napari_fastsam3d.inference.prompt import BoxPrompt, Point, Prompt, clicks_of
from napari_fastsam3d.inference.step import Prediction, Step
from napari_fastsam3d.memory.question import Question
from napari_fastsam3d.model.predictor import Floats, GoOn, Predictor, Progress, always

_LOOKING = "Looking at the scan"
_CROPS_KEPT = 6
# Clicks that a box is worth where later ones correct it.
_BOX_IN_CLICKS = 2


_Key = tuple[Crop, Question | None, str]


class ForwardPass:
    """Runs the model on crops of a volume. To be called from one thread.

    Parameters
    ----------
    volume : Volume
    predictor : Predictor
    progress : callable
        Told `(what, done, of)` while a crop is encoded.

    Attributes
    ----------
    go_on : callable
        Asked between the parts of the work, and ends it by raising; what was finished is kept.
    encoding : Crop or None
        The crop that is being encoded now.
    memory : MemoryPrompt or None
        What earlier cases say of objects; None where nothing is remembered.
    adapters : AdaptedModels or None
        The model adapted to structures; None where it is not.
    """

    def __init__(self, volume: Volume, predictor: Predictor, progress: Progress) -> None:
        self.volume = volume
        self.predictor = predictor
        self.go_on: GoOn = always
        self.encoding: Crop | None = None
        self.memory: MemoryPrompt | None = None
        self.adapters: AdaptedModels | None = None
        self._progress = progress
        self._encoded: Cache[_Key, Any] = Cache(_CROPS_KEPT)

    def has_encoded(self, crop: Crop, prompts: Sequence[Prompt] = ()) -> bool:
        """Whether a crop needs no encoding any more for prompts."""
        return self._key(crop, prompts) in self._encoded

    def adapted(self, prompts: Sequence[Prompt]) -> AdaptedModel | None:
        """Return the model adapted to what prompts ask for; None where it is not."""
        return None if self.adapters is None else self.adapters.of(prompts)

    def _answering(self, prompts: Sequence[Prompt]) -> Predictor:
        """Return the model that answers to prompts."""
        adapted = self.adapted(prompts)
        return self.predictor if adapted is None else adapted.predictor

    def _key(self, crop: Crop, prompts: Sequence[Prompt]) -> "_Key":
        """Return what a crop is encoded for: an encoder may be adapted, and so have a name."""
        encoder = getattr(self._answering(prompts), "encoder_fingerprint", "")
        return crop, self._question(crop, prompts), encoder

    def remembered_crop(self, prompts: Sequence[Prompt]) -> Crop | None:
        """Return the crop that fits what is recalled for an object; None where nothing is."""
        return None if self.memory is None else self.memory.crop(prompts)

    def predict(
        self,
        crop: Crop,
        before: Step,
        prompts: Sequence[Prompt],
        first: bool = False,
        afar: Prediction | None = None,
    ) -> Prediction:
        """Answer the newest of the prompts, with what was known before it fed back.

        Parameters
        ----------
        crop : Crop
        before : Step
        prompts : sequence of Prompt
        first : bool
            Whether a decoder of first clicks answers where a positive click is all that is known.
        afar : Prediction or None
            What a coarse pass then found in the same window, `crop.halved()`.
        """
        previous = before.low_res_logits if crop == before.crop else fed_back(before.mask, crop)
        fed = self.memory.fed(crop, prompts, previous) if self.memory else previous
        given = ModelInput.of(prompts, crop, fed, self.predictor)
        predictor, encoded = self._answering(prompts), self.encode(crop, prompts)
        if first and given.is_first_click:
            found = None if afar is None else afar.logits
            seen = predictor.first_click(encoded, given.points, found)
        else:
            seen = predictor.segment(encoded, given.points, given.labels, given.box, given.previous)
        low_res, logits = seen.low_res_logits, seen.mask_logits
        blends = self.predictor.blends_locally and isinstance(prompts[-1], Point)
        if blends and previous is not None and is_correction(_told(prompts), previous):
            low_res, logits = locally_blended(
                seen, previous, given.points[-1], bool(given.labels[-1]), crop.size
            )
        if self.memory is not None:
            logits, told = self.memory.drawn(crop, prompts, logits), logits
            low_res = low_res if logits is told else _pooled(logits, len(logits) // len(low_res))
        seeds = _protected_seeds(crop, before.mask, prompts, len(logits))
        logits = without_small_components(logits, seeds)
        guide = self.volume if self.predictor.edge_aware else None
        iou = float(seen.predicted_iou)
        return Prediction(crop, low_res, logits, iou, guide, seen.candidates, seen.is_fed)

    def alternatives(
        self, found: Prediction, before: Step, prompts: Sequence[Prompt]
    ) -> list[Prediction]:
        """Return what else the model proposed beside a prediction."""
        others = [(o.low_res_logits, o.mask_logits, o.predicted_iou) for o in found.alternatives]
        return [self._other(found, before, prompts, *other) for other in others]

    def cut_at(
        self, found: Prediction, before: Step, prompts: Sequence[Prompt], level: float
    ) -> Prediction:
        """Return a prediction whose mask is cut at another logit than zero: a smaller one above."""
        low_res, logits = (x - np.float32(level) for x in (found.low_res_logits, found.logits))
        return self._other(found, before, prompts, low_res, logits, found.predicted_iou)

    @staticmethod
    def _other(
        found: Prediction,
        before: Step,
        prompts: Sequence[Prompt],
        low_res: Floats,
        logits: Floats,
        predicted_iou: float,
    ) -> Prediction:
        """Return another mask over the crop of a prediction, without small components."""
        seeds = _protected_seeds(found.crop, before.mask, prompts, len(logits))
        logits = without_small_components(logits, seeds)
        return Prediction(found.crop, low_res, logits, float(predicted_iou), found.guide)

    def encode(
        self, crop: Crop, prompts: Sequence[Prompt] = (), progress: Progress | None = None
    ) -> Any:
        """Return what the image encoder makes of a crop, remembered for the crops in use.

        Where memory attention is the way for the prompts, with what is recalled for them.
        """
        self.go_on()
        progress = progress or self._progress
        key = self._key(crop, prompts)
        _, question, _ = key
        encoded = self._encoded.get(key)
        if encoded is None:
            self.encoding = crop
            progress(_LOOKING, 0, 1)
            volume = self.volume
            try:
                raw = crop.extract(volume.voxels, floor=volume.intensity_floor)
                self.go_on()
                predictor = self._answering(prompts)
                image = predictor.normalise(raw, crop.inside)
                self.go_on()
                encoded = (
                    predictor.encode(image)
                    if self.memory is None or question is None
                    else self.memory.encode(image, question)
                )
            finally:
                self.encoding = None
                progress(_LOOKING, 1, 1)
            self._encoded.put(key, encoded)
        return encoded

    def _question(self, crop: Crop, prompts: Sequence[Prompt]) -> Question | None:
        """Return the question that changes what is encoded; keys of coarse crops fit no other."""
        if self.memory is None or crop.size != self.predictor.crop_size:
            return None
        return self.memory.asked_by_attention(prompts)


def _pooled(image: Floats, factor: int) -> Floats:
    """Average cubes of `factor` voxels along each axis."""
    cells = len(image) // factor
    return image.reshape((cells, factor) * 3).mean(axis=(1, 3, 5))


def _told(prompts: Sequence[Prompt]) -> int:
    """Return how many clicks the prompts are worth, a box that stands among them."""
    boxed = 0 if last_box(prompts) is None else _BOX_IN_CLICKS
    return len(clicks_of(prompts)) + boxed


def _protected_seeds(
    crop: Crop, known: Mask, prompts: Sequence[Prompt], side: int
) -> ProtectedSeeds:
    """Return what holds pieces of a prediction on a grid of `side` cells over a crop."""
    factor = crop.size / side
    seen = [p.index for p in clicks_of(prompts) if p.positive and crop.contains(p.index)]
    boxes = [p.box for p in prompts if isinstance(p, BoxPrompt)]
    corners = [
        np.sort(crop.to_crop(np.array([b.start, np.array(b.stop) - 1])), axis=0) for b in boxes
    ]
    return ProtectedSeeds(
        (crop.to_crop(np.reshape(seen, (-1, 3))) + 0.5) / factor - 0.5,
        tuple((pair + 0.5) / factor - 0.5 for pair in corners),
        faces=known.box.intersection(crop.box) != known.box and not known.is_empty,
    )
