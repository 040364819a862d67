"""A volume being segmented: objects, prompts, masks; undo and redo over a log.

Neither torch nor Qt is imported here: the model comes in its own thread, when it is needed.
"""

from napari_fastsam3d.geometry.mask import Mask
from napari_fastsam3d.inference.packed_mask import PackedMask
from napari_fastsam3d.inference.prompt import (
    BoxPrompt,
    Choice,
    Edit,
    Freeze,
    MaskPrompt,
    Point,
    Prompt,
    Scribble,
)
from napari_fastsam3d.inference.recall_prompts import FindPrompt, FromMemory, WithAdapter
from napari_fastsam3d.model.predictor import Predictor, Segmentation
from napari_fastsam3d.session.candidates import Candidate
from napari_fastsam3d.session.carrying import carry_objects
from napari_fastsam3d.session.change import Change
from napari_fastsam3d.session.codec import action_from_json, action_to_json
from napari_fastsam3d.session.events import Signals
from napari_fastsam3d.session.history import History
from napari_fastsam3d.session.journal.earlier import EarlierSession, earlier_sessions
from napari_fastsam3d.session.journal.saved_session import SavedSession
from napari_fastsam3d.session.journal.writer import JournalStatus, sessions_folder
from napari_fastsam3d.session.label_map import Overlapped
from napari_fastsam3d.session.model_thread import ModelThread
from napari_fastsam3d.session.presets import Organ, organs
from napari_fastsam3d.session.prompt_file import PromptFile, read_prompts
from napari_fastsam3d.session.request import Result
from napari_fastsam3d.session.session import Session
from napari_fastsam3d.session.state import Action, ObjectState, OverlapRule, SessionState, worked_on
from napari_fastsam3d.session.worklist import Case, Worklist

__all__ = [
    "Action",
    "BoxPrompt",
    "Candidate",
    "Case",
    "Change",
    "Choice",
    "EarlierSession",
    "Edit",
    "FindPrompt",
    "Freeze",
    "FromMemory",
    "History",
    "JournalStatus",
    "Mask",
    "MaskPrompt",
    "ModelThread",
    "ObjectState",
    "Organ",
    "OverlapRule",
    "Overlapped",
    "PackedMask",
    "Point",
    "Predictor",
    "Prompt",
    "PromptFile",
    "Result",
    "SavedSession",
    "Scribble",
    "Segmentation",
    "Session",
    "SessionState",
    "Signals",
    "WithAdapter",
    "Worklist",
    "action_from_json",
    "action_to_json",
    "carry_objects",
    "earlier_sessions",
    "organs",
    "read_prompts",
    "sessions_folder",
    "worked_on",
]
