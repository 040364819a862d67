"""Decomposed relative positions as the published networks index them.

With `T_d[d,h,w,k] = q[d,h,w] . R_d[d,k]` and likewise `T_h`, `T_w` (queries unscaled,
`R_x[i,k] = rel_pos_x[i - k + n - 1]`), a query at (d, h, w) gives a key at (D, H, W) the bias

    T_d[d,h,w, W] + T_h[d,h,D, W] + T_w[d,h,H, W].

Segment Anything would read the three tables at D, H and W and all of them at the query itself.
The authors' code reads the last index at W everywhere, and takes the query's neighbours w = D and
w = H for the second and third term. The published weights were trained on that, so it is kept.

The second and third term depend on the query's row (d, h) only, and the rows of `T_h` and `T_w`
are already laid out by the index that becomes D and H: the bias is two broadcast sums.
"""

import math
from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Tables:
    """The products of queries with the relative position tables of three axes.

    Attributes
    ----------
    d, h, w : Tensor
        (B, heads, n * n, n, m), float32 at least: the row (d, h) of a query, its place w in the
        row, and the position k of a key along an axis of m places.
    """

    d: Tensor
    h: Tensor
    w: Tensor

    def bias(self, beyond: Tensor | None = None) -> Tensor:
        """Give the bias of keys on the queries' own grid, (B, heads, n^3, n^3).

        `beyond` (B, heads, n^3, 1) is that of one further key, which comes last.
        """
        b, heads, _, n, _ = self.d.shape
        of_row = self.h[..., :n].unsqueeze(4) + self.w[..., :n].unsqueeze(3)  # row, D, H, W
        of_query = self.d[..., None, None, :n]  # row, w, 1, 1, W
        bias = self.d.new_empty(b, heads, n**3, n**3 + (beyond is not None))
        grid = bias[..., : n**3].view(b, heads, n * n, n, n, n, n)
        if torch.is_grad_enabled():
            grid.copy_(of_query + of_row.unsqueeze(3))
        else:  # the largest tensor of the encoder is written once
            torch.add(of_query, of_row.unsqueeze(3), out=grid)
        if beyond is not None:
            bias[..., n**3 :] = beyond
        return bias


class RelativePosition(nn.Module):
    """The learnt tables of one attention layer; a base class, so that their keys stay flat.

    Parameters
    ----------
    head_width : int
        Channels of a head.
    grid : int
        Places n along each axis of the token grid.
    window : int
        Places m along each axis that keys may have: the grid, or the window that it is padded to.
    """

    def __init__(self, head_width: int, grid: int, window: int) -> None:
        super().__init__()
        self.grid = grid
        self.window = window
        for axis in "dhw":
            table = nn.Parameter(torch.zeros(2 * window - 1, head_width))
            self.register_parameter(f"rel_pos_{axis}", table)

    @property
    def offsets(self) -> Tensor:
        """The tables of the three axes, (3 * (2 m - 1), head width)."""
        return torch.cat([self.get_parameter(f"rel_pos_{axis}") for axis in "dhw"])

    def tables(self, q: Tensor) -> Tables:
        """Multiply queries (B, heads, n^3, c), unscaled, with the tables of each axis."""
        # One product with every offset, then a choice: cheaper than a product per place.
        products = q @ self.offsets.to(q.dtype).T
        steps = _steps(self.grid, self.window, q.device)
        chosen = products.gather(-1, steps.expand(*products.shape[:2], -1, -1))
        exact = torch.promote_types(q.dtype, torch.float32)
        rows = chosen.to(exact).unflatten(2, (self.grid**2, self.grid))
        d, h, w = rows.chunk(3, dim=-1)
        return Tables(d, h, w)


@lru_cache(maxsize=8)
@torch.inference_mode(False)
def _steps(n: int, m: int, device: torch.device) -> Tensor:
    """Give for each token (n^3) which offsets its three tables take, (n^3, 3 m)."""
    places = torch.arange(n, device=device).expand(n, n, n)
    key = torch.arange(m, device=device)
    axes = (places.movedim(2, 0), places.movedim(2, 1), places)
    parts = [
        (place.reshape(-1, 1) - key + m - 1) + number * (2 * m - 1)
        for number, place in enumerate(axes)
    ]
    return torch.cat(parts, dim=1)


def padded_logit(tables: Tables, padding: Tensor) -> Tensor:
    """Give the logit, but for `q . b_k`, of all padded places of a window taken together.

    A window of m^3 places around a grid of n^3 tokens holds m^3 - n^3 places whose input is zero.
    They share one key and one value, the biases of their projections, so that in a softmax they
    weigh as much as a single key with the logarithm of the sum of their exponentials. The sum
    runs over three disjoint parts of the window, W >= n, D >= n and H >= n, in logarithms
    throughout; nothing is subtracted, so nothing cancels.

    Parameters
    ----------
    tables : Tables
        Of the real queries, m places a key.
    padding : Tensor
        (heads, 3, m, m): the products of the query of a padded place with the tables, by axis, by
        its own place, by the key's place.

    Returns
    -------
    Tensor
        (B, heads, n^3, 1).
    """
    n, m = tables.d.shape[3], tables.d.shape[4]
    rows_h = padding[:, 1, :n].repeat(1, n, 1)  # (heads, n * n, m): a row (d, h) knows its h
    d_real = tables.h.logsumexp(3)  # (B, heads, n * n, m): over D, at each W
    d_padded = rows_h + math.log(m - n)
    h_real = tables.w.logsumexp(3)
    h_padded = padding[:, 2, n:].logsumexp(1, keepdim=True)  # (heads, 1, m)
    h_all = torch.logaddexp(h_real, h_padded)
    beside = torch.logaddexp(d_padded + h_all, d_real + h_padded)
    beyond = torch.logaddexp(d_real, d_padded) + h_all
    of_row = torch.cat([beside[..., :n], beyond[..., n:]], dim=-1)
    return (tables.d + of_row.unsqueeze(3)).logsumexp(4).flatten(2)[..., None]


def padding_products(query: Tensor, offsets: Tensor) -> Tensor:
    """Multiply the query of a padded place with the tables.

    Parameters
    ----------
    query : Tensor
        (heads, c): the bias of the query projection.
    offsets : Tensor
        (3 * (2 m - 1), c).

    Returns
    -------
    Tensor
        (heads, 3, m, m): by axis, by its own place, by the key's place.
    """
    m = (offsets.shape[0] // 3 + 1) // 2
    place = torch.arange(m, device=query.device)
    products = (query @ offsets.T).unflatten(-1, (3, 2 * m - 1))
    return products[..., place[:, None] - place + m - 1]
