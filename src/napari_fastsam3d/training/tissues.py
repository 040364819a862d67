"""What the structures of a label map are made of, and how CT and MR show it.

Hounsfield ranges follow textbook values for adults (Hofer, CT Teaching Manual); contrast phases
are wide, since injection protocols differ.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass

Range = tuple[float, float]


@dataclass(frozen=True)
class Tissue:
    """How a tissue looks in CT.

    Attributes
    ----------
    plain, arterial, venous : tuple of float
        Range of the mean, Hounsfield units, without contrast agent and in two phases with it.
    texture : float
        Standard deviation within the tissue, Hounsfield units.
    rim : tuple of float or None
        Range of the mean in the outermost millimetres: the cortex of a bone, the wall of a bowel.
    hollow : bool
        Whether gas, fluid or stool may fill what lies inside the rim.
    """

    plain: Range
    arterial: Range
    venous: Range
    texture: float = 6.0
    rim: Range | None = None
    hollow: bool = False


def _unenhanced(low: float, high: float, texture: float = 6.0, rim: Range | None = None) -> Tissue:
    return Tissue((low, high), (low, high), (low, high), texture, rim)


TISSUES = {
    "air": _unenhanced(-1000, -990, 2),
    "lung": _unenhanced(-880, -700, 45),
    "airway": _unenhanced(-1000, -960, 5),
    "fat": _unenhanced(-115, -85, 10),
    "muscle": Tissue((35, 65), (45, 70), (50, 80)),
    "bone": _unenhanced(120, 420, 60, (450, 1200)),
    "enamel": _unenhanced(1400, 2600, 120),
    "cartilage": _unenhanced(70, 160, 12),
    "liver": Tissue((30, 70), (55, 85), (85, 135)),
    "spleen": Tissue((38, 58), (90, 160), (95, 145)),
    "kidney": Tissue((25, 42), (110, 190), (140, 230), rim=None),
    "pancreas": Tissue((28, 48), (80, 120), (70, 110)),
    "gland": Tissue((15, 45), (50, 90), (50, 90)),
    "soft": Tissue((30, 55), (50, 90), (55, 100)),
    "bowel": Tissue((20, 45), (45, 90), (60, 110), 8, (25, 100), True),
    "cyst": Tissue((-2, 18), (-2, 18), (-2, 25), 4),
    "artery": Tissue((32, 50), (200, 450), (120, 190)),
    "vein": Tissue((32, 50), (45, 140), (120, 200)),
    "lung_vessel": Tissue((32, 50), (120, 420), (110, 190)),
    "myocardium": Tissue((35, 52), (70, 120), (85, 125)),
    "grey_matter": Tissue((34, 44), (35, 48), (36, 50), 3),
    "white_matter": Tissue((24, 33), (25, 35), (26, 36), 3),
    "fluid": _unenhanced(0, 16, 3),
}

_NAMES = (
    ("lung", r"lung_"),
    ("airway", r"trachea|bronch"),
    ("cartilage", r"disc|cartilage|menisci|linea_alba|ear$"),
    (
        "bone",
        r"skull|^rib_|vertebra|sacrum|sternum|clavicle|scapula|humerus|radius|ulna|_bones|"
        r"^hip_|femur|patella|tibia|fibula|mandible|hyoid",
    ),
    ("enamel", r"teeth"),
    ("liver", r"liver"),
    ("spleen", r"^spleen"),
    ("kidney", r"kidney"),
    ("pancreas", r"pancreas"),
    ("gland", r"adrenal|prostate|seminal|testis|ovary|thymus|thyroid_gland"),
    ("bowel", r"stomach|colon|bowel|duodenum|rectum|appendix|oesophagus|esophagus"),
    ("cyst", r"bladder"),
    ("lung_vessel", r"pulmonary"),
    ("artery", r"arter|aorta|brachiocephalic_and|(atrium|ventricle)_left|renal_vessels"),
    ("vein", r"vein|vena|cava|azygos|(atrium|ventricle)_right"),
    ("myocardium", r"myocardium|heart"),
    ("white_matter", r"white_matter|brainstem"),
    ("grey_matter", r"cortex|cerebell|thalamus|caudate|putamen|pallidum|hippoc|amygd|hypothal"),
    ("fluid", r"ventricles|csf|spinal_canal|eye"),
    ("grey_matter", r"spinal_cord"),
    ("soft", r"uterus|vagina|penis|tongue|fallopian|ureter|urethra|tonsil|gingiva|valves"),
    ("fat", r"^body$"),
)

SCENERY = re.compile(
    r"^body$|intercostal_muscles|internal_oblique_transversus|spinal_canal|intracranial_csf"
)
"""Names of what was made to fill a label map: painted, and never asked for."""

ARM = re.compile(r"upper_arm|triceps|forearm|hand_|humerus|radius|ulna|brachial|axillary")
"""Names of what may be left out of a torso, since arms are raised in most scans of one."""


def scenery_of(names: Mapping[int, str]) -> frozenset[int]:
    """Give the values that are scenery."""
    return frozenset(value for value, name in names.items() if SCENERY.search(name))


def tissue_of(name: str) -> str:
    """Give the tissue, a key of `TISSUES`, that a structure of a name is made of; else muscle."""
    plain = name.lower().replace(" ", "_")
    return next((tissue for tissue, names in _NAMES if re.search(names, plain)), "muscle")
