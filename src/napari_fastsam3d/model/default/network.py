"""The default network: pyramid encoder and pyramid decoder."""

from dataclasses import replace

import torch
from torch import nn

from napari_fastsam3d.model.default.image_encoder import PyramidConfig, PyramidEncoder
from napari_fastsam3d.model.default.mask_decoder import PyramidDecoder


class PyramidNetwork(nn.Module):
    """Image encoder and mask decoder of one configuration.

    Attributes
    ----------
    encoder : PyramidEncoder
        Run once a crop.
    decoder : PyramidDecoder
        Run once a prompt.
    box_decoder : PyramidDecoder or None
        Run in its place where there is a box, if the configuration has one.
    coarse_decoder : PyramidDecoder or None
        Run in its place on the crop of a coarse first pass, if the configuration has one.
    first_decoder : PyramidDecoder or None
        Run in its place where a click is all that is known and what a coarse pass finds is fed to
        it, if the configuration has one.
    """

    def __init__(self, config: PyramidConfig | None = None) -> None:
        super().__init__()
        self.config = config or PyramidConfig()
        self.encoder = PyramidEncoder(self.config)
        self.decoder = PyramidDecoder(self.config)
        self.box_decoder = (
            PyramidDecoder(self.config, reads_boxes=True) if self.config.box_decoder else None
        )

        self.coarse_decoder = self._with_candidates(self.config.coarse_candidates)
        self.first_decoder = self._with_candidates(self.config.first_candidates, judges_fed=True)

    def _with_candidates(self, count: int, judges_fed: bool = False) -> PyramidDecoder | None:
        config = replace(self.config, candidates=count)
        return PyramidDecoder(config, judges_fed=judges_fed) if count else None

    @property
    def decoders(self) -> tuple[PyramidDecoder, ...]:
        """All decoders."""
        each = (self.decoder, self.box_decoder, self.coarse_decoder, self.first_decoder)
        return tuple(decoder for decoder in each if decoder is not None)

    def decoder_of(self, boxed: bool, coarse: bool = False, first: bool = False) -> PyramidDecoder:
        """Give the decoder of a box, of a coarse crop, of a first click, or of other prompts."""
        own = (boxed and self.box_decoder) or (coarse and self.coarse_decoder)
        return own or (first and not (boxed or coarse) and self.first_decoder) or self.decoder


def with_encoder(
    network: PyramidNetwork, encoder: PyramidEncoder, config: PyramidConfig
) -> PyramidNetwork:
    """Return a network with another image encoder, and the decoders of this one.

    Parameters
    ----------
    network : PyramidNetwork
        Whose decoders are shared, not copied.
    encoder : PyramidEncoder
        Whose output has the same channels.
    config : PyramidConfig
        Sizes of the encoder, and of the decoders.
    """
    with torch.device("meta"):
        made = PyramidNetwork(config)
    made.encoder = encoder
    made.decoder = network.decoder
    made.box_decoder, made.coarse_decoder = network.box_decoder, network.coarse_decoder
    made.first_decoder = network.first_decoder
    return made


_LAST_OF_A_BRANCH = tuple(
    f"{layer}.{kind}"
    for layer in ("attn.proj", "mlp.2", "conv2.conv")
    for kind in ("weight", "bias")
)


def _twin(key: str) -> str:
    """Give the name that a parameter of a further decoder has in the first one."""
    return key.removeprefix("box_").removeprefix("coarse_").removeprefix("first_")


@torch.no_grad()
def grown(network: PyramidNetwork, config: PyramidConfig) -> PyramidNetwork:
    """Give a network with more parts that computes what a smaller one does.

    Added blocks come last on their stage and begin as identities, decoders for boxes, for coarse
    passes and for first clicks begin as the other one and candidates as variants of the main mask,
    so that training goes on where it was (Chen et al. 2016, Net2Net).

    Raises
    ------
    ValueError
        When the configurations differ by more than that.
    """
    larger = PyramidNetwork(config).to(next(network.parameters()).device)
    old, new = network.state_dict(), larger.state_dict()
    if any(key not in new or new[key].shape != value.shape for key, value in old.items()):
        raise ValueError("a network grows by blocks, candidates and decoders only")
    for key, value in new.items():
        if key in old:
            value.copy_(old[key])
        elif (twin := _twin(key).replace(".candidates.", ".")) in old:
            value.copy_(old[twin])
        elif key.endswith("candidates.tokens.weight"):
            main = old[_twin(key).replace("candidates.tokens", "output_tokens")][:1]
            value.mul_(main.std()).add_(main)
        elif key.endswith(_LAST_OF_A_BRANCH):
            value.zero_()
    return larger
