"""What a session writes to files and reads from them: masks, label maps, prompts."""

# ruff: noqa: A002 - `object` is the word of the design's interface, session.save(object=2)

from collections.abc import Sequence
from os import PathLike
from pathlib import Path

from napari_fastsam3d.errors import SessionError
from napari_fastsam3d.geometry.io.label_table import save_label_table
from napari_fastsam3d.geometry.io.mask_writer import save_mask
from napari_fastsam3d.geometry.io.meshes import save_meshes
from napari_fastsam3d.geometry.io.segment import Segment, named
from napari_fastsam3d.geometry.io.segments import (
    SEGMENTATION_SUFFIXES,
    read_segments,
    save_segments,
)
from napari_fastsam3d.session.commands import Commands
from napari_fastsam3d.session.events import emit
from napari_fastsam3d.session.prompt_file import PromptFile, read_prompts, save_prompts
from napari_fastsam3d.session.queries import Queries
from napari_fastsam3d.session.report import Report, patient_lines, save_report
from napari_fastsam3d.session.request import Result
from napari_fastsam3d.session.saved_objects import left_out, paths_of_each
from napari_fastsam3d.session.state import ObjectState


class FileCommands(Queries):
    """The commands of a session about files."""

    futures: Commands

    def save(self, path: str | PathLike[str], object: int | None = None) -> Path:
        """Write the masks to one file on the source grid, after predictions under way.

        Which objects are empty, and so not in the file, is logged as a warning and said by `noted`;
        see `empty_objects`.

        Parameters
        ----------
        path : path
            Ending in .nii.gz, .nii, .nrrd or .mha, or in .seg.nrrd (3D Slicer) or .dcm (DICOM
            Segmentation, of a scan read from DICOM), which keep names and colours, and overlaps
            where objects share voxels. Replaced as a whole, or not at all.
        object : int, optional
            Id of one object, to be written as 0 and 1; by default all objects are written, as a
            map of their label values with a table of their names.

        Returns
        -------
        Path
            The file written.

        Raises
        ------
        SessionError
            If there is nothing to save, or a mask isn't what its prompts would make of it.
        SaveError
            If it can't be written.
        """
        self.wait()
        drawn = self._drawn(self.state.objects if object is None else [self.state.object(object)])
        if object is not None:
            return self._save_one(path, drawn[0])
        if str(path).lower().endswith(SEGMENTATION_SUFFIXES):
            saved = save_segments(path, self._segments(drawn), self.volume, self._model_name)
        else:
            names = {each.value: each.name for each in drawn}
            saved = save_mask(path, self.label_map(), self.volume, label_names=names)
        self._note_what_is_left_out()
        return saved

    def save_each(self, path: str | PathLike[str]) -> list[Path]:
        """Write each object that has a mask to a file of its own, as 0 and 1.

        Parameters
        ----------
        path : path
            mask.nii.gz makes mask_liver.nii.gz, mask_spleen.nii.gz and so on; objects of one
            name get their value too. Ends as for `save`, which says what is raised.

        Returns
        -------
        list of Path
            The files written, in the order of the objects.
        """
        self.wait()
        drawn = self._drawn(self.state.objects)
        saved = [
            self._save_one(target, each)
            for each, target in zip(drawn, paths_of_each(Path(path), drawn), strict=True)
        ]
        self._note_what_is_left_out()
        return saved

    def save_meshes(self, path: str | PathLike[str]) -> list[Path]:
        """Write the surfaces of the objects in LPS mm; see `geometry.io.meshes.save_meshes`.

        Parameters
        ----------
        path : path
            Ending in .obj, for all objects in one file, or .stl, for one file an object.
        """
        self.wait()
        return save_meshes(path, self._segments(self._drawn(self.state.objects)), self.volume)

    def save_label_table(self, path: str | PathLike[str]) -> Path:
        """Write names and colours of the objects as ITK-SNAP reads them, to a .txt file."""
        if not self.state.objects:
            raise SessionError("There is no object.", "Begin one first.")
        return save_label_table(path, self._segments(self.state.objects))

    def save_report(
        self,
        path: str | PathLike[str],
        window: tuple[float, float] | None = None,
        patient: bool = False,
    ) -> Path:
        """Write a page about the objects: three planes with outlines, measures and the model.

        Parameters
        ----------
        path : path
            Ending in .pdf or .png.
        window : tuple of float, optional
            Intensities that become black and white; by default by the scan's own.
        patient : bool
            Whether it tells the scan's name, and what DICOM says of patient and study.

        Raises
        ------
        SessionError
            If there is no mask.
        SaveError
            If it can't be written.
        """
        self.wait()
        segments = self._segments(self._drawn(self.state.objects))
        about = patient_lines(self.volume) if patient else ()
        model = self._model_name or "none"
        return save_report(
            path, Report(self.volume, segments, self.measures(), model, window, about)
        )

    def open_mask(self, path: str | PathLike[str]) -> list[Result]:
        """Begin an object with each label of a file, to be refined by clicks.

        Names come from the file's table of labels. A label whose value an object has already
        gets the next free one, and one whose name is taken gets that with a number. Each is one
        step of undo.

        Parameters
        ----------
        path : path
            A mask or label map on the grid of the volume, as `save` writes it; or a .seg.nrrd or
            DICOM Segmentation, which bring colours along.

        Raises
        ------
        VolumeError
            If it can't be read, lies on another grid, or holds no labels.
        SessionError
            If it is empty.
        """
        self.thread.check_may_wait()
        doubts: list[str] = []
        futures = [
            self.futures.add_mask(
                each.mask, self._name_of(each), self.state.free_value(each.value), each.colour
            )
            for each in read_segments(path, self.volume, doubts.append)
        ]
        for doubt in doubts:
            emit(self._scheduler.signals.noted, doubt)
        if not futures:
            raise SessionError(f"{Path(path).name} holds no mask.", "Choose one that isn't empty.")
        return [future.result() for future in futures]

    def save_prompts(self, path: str | PathLike[str]) -> Path:
        """Write what was done to a file of prompts, from which it can be replayed.

        It holds the objects with their names, values, prompts (source index, and RAS mm), hand
        edits and locks, the rule of overlap, and hashes of volume and model.

        Parameters
        ----------
        path : path
            Ending in .json; replaced as a whole, or not at all.

        Raises
        ------
        SaveError
            If it can't be written.
        """
        said = self._scheduler.recollections
        return save_prompts(path, self.state, self.volume, self.predictor, said)

    def load_prompts(self, path: str | PathLike[str]) -> PromptFile:
        """Do again what a file of prompts says, in an untouched session.

        With the same model on the same machine the masks are the same, voxel for voxel.

        Returns
        -------
        PromptFile
            What it says, such as the fingerprint of the model that was used.

        Raises
        ------
        SessionError
            If the file is damaged or was made on another scan, or the session isn't untouched.
        """
        found = read_prompts(path)
        found.check_scan(self.volume)
        if self.history.entries:
            raise SessionError(
                "Prompts can be loaded into an untouched session only.", "Open the scan anew."
            )
        self.thread.check_may_wait()
        self._scheduler.recollections.add(found.recalled)
        self._scheduler.note_if_forgotten()
        futures = [self._scheduler.do(lambda _, each=each: each) for each in found.actions]
        self.wait()
        for future in futures:
            future.result()
        return found

    def _save_one(self, path: str | PathLike[str], each: ObjectState) -> Path:
        if str(path).lower().endswith(SEGMENTATION_SUFFIXES):
            return save_segments(path, self._segments([each]), self.volume, self._model_name)
        return save_mask(path, self.mask(each.id), self.volume)

    def _note_what_is_left_out(self) -> None:
        lost = [each.object for each in self.overlapped_objects()]
        message = left_out(self.state.objects, self.empty_objects(), lost)
        if message is not None:
            self._scheduler.signals.note(message)

    def _drawn(self, objects: Sequence[ObjectState]) -> list[ObjectState]:
        """Return those of the objects that have a mask; SessionError if none, or a wrong one."""
        behind = self._scheduler.behind()
        wrong = [each.name for each in objects if each.id in behind and each.locked is None]
        if wrong:
            raise SessionError(
                f"The model failed, so the mask of {', '.join(wrong)} doesn't follow its prompts.",
                "Undo the last step, or choose another model or device, and save again.",
            )
        drawn = [each for each in objects if not self.region(each.id).is_empty]
        if not drawn:
            raise SessionError(
                "There is no mask to save.", "Click on a structure, or draw a box around it, first."
            )
        return drawn

    def _name_of(self, each: Segment) -> str | None:
        """Return the name of a segment, unless it has none of its own."""
        return self.state.free_name(each.name) if each.name != named({}, each.value) else None

    def _segments(self, objects: Sequence[ObjectState]) -> list[Segment]:
        return [
            Segment(each.name, each.value, self.region(each.id), each.colour) for each in objects
        ]

    @property
    def _model_name(self) -> str | None:
        return None if self.predictor is None else self.predictor.name
