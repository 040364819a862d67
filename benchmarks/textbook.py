"""The published networks in plain textbook form, to measure against.

Convolutions are convolutions, windows are padded, attention is written out, everything is float32
and nothing is kept from one click to the next: what one writes first, following the papers. It
takes the same weights as the package, by the authors' names, and gives the same results.
"""

from collections.abc import Mapping

import torch
from torch import Tensor
from torch.nn import functional as F

from napari_fastsam3d.model.sam_med3d.image_encoder import Mixing
from napari_fastsam3d.model.sam_med3d.network import PublishedConfig

HEADS_OF_DECODER = 8


class Textbook:
    """One network.

    Parameters
    ----------
    config : PublishedConfig
        Its sizes and named choices.
    weights : mapping of str to Tensor
        By the authors' names, in their shapes.
    """

    def __init__(self, config: PublishedConfig, weights: Mapping[str, Tensor]) -> None:
        self.config = config.encoder
        self.depth = config.decoder.depth
        self.weights = weights

    def encode(self, image: Tensor) -> Tensor:
        """Encode (1, 1, 128, 128, 128); gives (1, C, 8, 8, 8)."""
        w, stem = self.weights, "image_encoder."
        patch = w[f"{stem}patch_embed.proj.weight"]
        x = F.conv3d(image, patch, w[f"{stem}patch_embed.proj.bias"], stride=patch.shape[-1])
        x = x.permute(0, 2, 3, 4, 1) + w[f"{stem}pos_embed"]
        for number, mixing in enumerate(self.config.mixing):
            x = self._block(f"{stem}blocks.{number}.", x, mixing)
        x = x.permute(0, 4, 1, 2, 3)
        x = self._norm_channels(F.conv3d(x, w[f"{stem}neck.0.weight"]), f"{stem}neck.1")
        return self._norm_channels(
            F.conv3d(x, w[f"{stem}neck.2.weight"], padding=1), f"{stem}neck.3"
        )

    def click(
        self, embedding: Tensor, points: Tensor, labels: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor, Tensor]:
        """Answer one step; gives logits, predicted IoU and the bool mask (1, 1, 128, 128, 128)."""
        logits, predicted_iou = self._decode(embedding, points, labels, previous)
        full = F.interpolate(logits, scale_factor=4, mode="trilinear", align_corners=False)
        return logits, predicted_iou, torch.sigmoid(full) > 0.5

    def _linear(self, x: Tensor, name: str) -> Tensor:
        return F.linear(x, self.weights[f"{name}.weight"], self.weights[f"{name}.bias"])

    def _norm(self, x: Tensor, name: str, epsilon: float) -> Tensor:
        weight = self.weights[f"{name}.weight"]
        return F.layer_norm(x, weight.shape, weight, self.weights[f"{name}.bias"], epsilon)

    def _norm_channels(self, x: Tensor, name: str) -> Tensor:
        mean = x.mean(1, keepdim=True)
        variance = (x - mean).pow(2).mean(1, keepdim=True)
        x = (x - mean) / torch.sqrt(variance + 1e-6)
        weight, bias = self.weights[f"{name}.weight"], self.weights[f"{name}.bias"]
        return weight[:, None, None, None] * x + bias[:, None, None, None]

    def _block(self, stem: str, x: Tensor, mixing: Mixing) -> Tensor:
        if mixing != "none":
            normalised = self._norm(x, f"{stem}norm1", 1e-6)
            mixed = self._windowed if mixing == "padded" else self._attention
            x = x + mixed(f"{stem}attn.", normalised)
        normalised = self._norm(x, f"{stem}norm2", 1e-6)
        hidden = F.gelu(self._linear(normalised, f"{stem}mlp.lin1"))
        skip = normalised if self.config.residual == "normalised" else x
        return skip + self._linear(hidden, f"{stem}mlp.lin2")

    def _windowed(self, stem: str, x: Tensor) -> Tensor:
        n = x.shape[1]
        more = self.config.window - n
        padded = F.pad(x, (0, 0, 0, more, 0, more, 0, more))
        return self._attention(stem, padded)[:, :n, :n, :n]

    def _attention(self, stem: str, x: Tensor) -> Tensor:
        b, n, _, _, width = x.shape
        heads = self.config.heads
        qkv = self._linear(x.reshape(b, n**3, width), f"{stem}qkv")
        qkv = qkv.reshape(b, n**3, 3, heads, -1).permute(2, 0, 3, 1, 4)
        q, k, v = qkv.reshape(3, b * heads, n**3, -1)
        logits = (q * q.shape[-1] ** -0.5) @ k.transpose(-2, -1)
        logits = self._with_positions(stem, logits, q.reshape(b * heads, n, n, n, -1))
        mixed = logits.softmax(dim=-1) @ v
        mixed = mixed.reshape(b, heads, n**3, -1).transpose(1, 2).reshape(b, n, n, n, width)
        return self._linear(mixed, f"{stem}proj")

    def _with_positions(self, stem: str, logits: Tensor, q: Tensor) -> Tensor:
        n = q.shape[1]
        place = torch.arange(n)
        offset = place[:, None] - place + n - 1
        r_d, r_h, r_w = (self.weights[f"{stem}rel_pos_{axis}"][offset] for axis in "dhw")
        t_d = torch.einsum("bdhwc,dkc->bdhwk", q, r_d)
        t_h = torch.einsum("bdhwc,hkc->bdhwk", q, r_h)
        t_w = torch.einsum("bdhwc,wkc->bdhwk", q, r_w)
        shape = logits.shape
        logits = logits.reshape(-1, n, n, n, n, n, n)
        logits = (
            logits
            + t_d[:, :, :, :, None, None, :]
            + t_h[:, :, :, None, :, None, :]
            + t_w[:, :, :, None, None, :, :]
        )
        return logits.reshape(shape)

    def _encoding(self, places: Tensor) -> Tensor:
        name = "prompt_encoder.pe_layer.positional_encoding_gaussian_matrix"
        phase = 2 * torch.pi * ((2 * places - 1) @ self.weights[name])
        return torch.cat([phase.sin(), phase.cos(), phase.sin()], dim=-1)

    def _points(self, points: Tensor, labels: Tensor) -> Tensor:
        stem = "prompt_encoder."
        points = torch.cat([points + 0.5, torch.zeros(1, 1, 3)], dim=1)
        labels = torch.cat([labels, -torch.ones(1, 1, dtype=labels.dtype)], dim=1)
        encoded = self._encoding(points / self.config.crop_size)
        encoded[labels == -1] = self.weights[f"{stem}not_a_point_embed.weight"]
        encoded[labels == 0] += self.weights[f"{stem}point_embeddings.0.weight"]
        encoded[labels == 1] += self.weights[f"{stem}point_embeddings.1.weight"]
        return encoded

    def _mask(self, previous: Tensor) -> Tensor:
        w, stem = self.weights, "prompt_encoder.mask_downscaling."
        x = F.conv3d(previous, w[f"{stem}0.weight"], w[f"{stem}0.bias"], stride=2)
        x = F.gelu(self._norm_channels(x, f"{stem}1"))
        x = F.conv3d(x, w[f"{stem}3.weight"], w[f"{stem}3.bias"], stride=2)
        x = F.gelu(self._norm_channels(x, f"{stem}4"))
        return F.conv3d(x, w[f"{stem}6.weight"], w[f"{stem}6.bias"])

    def _grid(self) -> Tensor:
        n = self.config.grid
        centres = (torch.arange(n) + 0.5) / n
        first, second, third = torch.meshgrid(centres, centres, centres, indexing="ij")
        return self._encoding(torch.stack([second, first, third], dim=-1)).reshape(1, n**3, -1)

    def _decode(
        self, embedding: Tensor, points: Tensor, labels: Tensor, previous: Tensor
    ) -> tuple[Tensor, Tensor]:
        w, stem = self.weights, "mask_decoder."
        prompts = self._points(points, labels)
        output = torch.cat([w[f"{stem}iou_token.weight"], w[f"{stem}mask_tokens.weight"]])
        first = torch.cat([output[None], prompts], dim=1)
        image = (embedding + self._mask(previous)).flatten(2).transpose(1, 2)
        places = self._grid()
        tokens = first
        for number in range(self.depth):
            tokens, image = self._two_way(
                f"{stem}transformer.layers.{number}.", tokens, image, first, places, number == 0
            )
        last = f"{stem}transformer.final_attn_token_to_image."
        tokens = tokens + self._cross(last, tokens + first, image + places, image)
        tokens = self._norm(tokens, f"{stem}transformer.norm_final_attn", 1e-5)
        return self._masks(tokens, image.transpose(1, 2).reshape(embedding.shape))

    def _two_way(
        self, stem: str, tokens: Tensor, image: Tensor, first: Tensor, places: Tensor, start: bool
    ) -> tuple[Tensor, Tensor]:
        if start:
            tokens = self._cross(f"{stem}self_attn.", tokens, tokens, tokens)
        else:
            q = tokens + first
            tokens = tokens + self._cross(f"{stem}self_attn.", q, q, tokens)
        tokens = self._norm(tokens, f"{stem}norm1", 1e-5)
        seen = self._cross(
            f"{stem}cross_attn_token_to_image.", tokens + first, image + places, image
        )
        tokens = self._norm(tokens + seen, f"{stem}norm2", 1e-5)
        hidden = F.relu(self._linear(tokens, f"{stem}mlp.lin1"))
        tokens = self._norm(tokens + self._linear(hidden, f"{stem}mlp.lin2"), f"{stem}norm3", 1e-5)
        told = self._cross(
            f"{stem}cross_attn_image_to_token.", image + places, tokens + first, tokens
        )
        return tokens, self._norm(image + told, f"{stem}norm4", 1e-5)

    def _cross(self, stem: str, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        q, k, v = (
            self._linear(x, f"{stem}{name}").unflatten(-1, (HEADS_OF_DECODER, -1)).transpose(1, 2)
            for x, name in ((q, "q_proj"), (k, "k_proj"), (v, "v_proj"))
        )
        weights = (q @ k.transpose(-2, -1) / q.shape[-1] ** 0.5).softmax(dim=-1)
        return self._linear((weights @ v).transpose(1, 2).flatten(-2), f"{stem}out_proj")

    def _masks(self, tokens: Tensor, image: Tensor) -> tuple[Tensor, Tensor]:
        w, stem = self.weights, "mask_decoder."
        up = f"{stem}output_upscaling."
        x = F.conv_transpose3d(image, w[f"{up}0.weight"], w[f"{up}0.bias"], stride=2)
        x = F.gelu(self._norm_channels(x, f"{up}1"))
        x = F.gelu(F.conv_transpose3d(x, w[f"{up}3.weight"], w[f"{up}3.bias"], stride=2))
        count = w[f"{stem}mask_tokens.weight"].shape[0]
        hyper = torch.stack(
            [
                self._mlp(f"{stem}output_hypernetworks_mlps.{i}.layers.", tokens[:, 1 + i])
                for i in range(count)
            ],
            dim=1,
        )
        b, c, d, h, k = x.shape
        masks = (hyper @ x.reshape(b, c, d * h * k)).reshape(b, count, d, h, k)
        predicted_iou = self._mlp(f"{stem}iou_prediction_head.layers.", tokens[:, 0])
        return masks[:, :1], predicted_iou[:, :1]

    def _mlp(self, stem: str, x: Tensor) -> Tensor:
        x = F.relu(self._linear(x, f"{stem}0"))
        return self._linear(F.relu(self._linear(x, f"{stem}1")), f"{stem}2")
