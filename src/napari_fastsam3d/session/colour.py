"""The colours of objects: a fixed list, legible over a grey scan and told apart by most eyes."""

Colour = tuple[float, float, float]

# Red, green, blue in [0, 1]. Neighbours in the list differ in hue and in lightness, so that the
# first few objects can be told apart without colour vision too.
COLOURS: tuple[Colour, ...] = (
    (0.90, 0.38, 0.00),
    (0.35, 0.70, 0.90),
    (0.00, 0.62, 0.45),
    (0.94, 0.89, 0.26),
    (0.80, 0.47, 0.65),
    (0.20, 0.45, 0.85),
    (0.86, 0.20, 0.25),
    (0.60, 0.85, 0.35),
    (0.62, 0.42, 0.86),
    (1.00, 0.70, 0.55),
    (0.10, 0.75, 0.75),
    (0.72, 0.53, 0.25),
)


def colour_of(value: int) -> Colour:
    """Return the colour of a label value, 1 or more; the list begins anew after its end."""
    return COLOURS[(value - 1) % len(COLOURS)]
