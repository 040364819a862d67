"""Whether an accepted object is to be remembered, and a forgotten case to come back."""

from __future__ import annotations

from napari_fastsam3d._napari.commands.objects import name_object
from napari_fastsam3d._napari.panels.banners import Banner
from napari_fastsam3d._napari.panels.notice import NoticeChoice
from napari_fastsam3d._napari.session_view import SessionView
from napari_fastsam3d._napari.workspace import Workspace
from napari_fastsam3d.memory.case import Case, Entry


class MemoryBanner(Banner):
    """Stays until it is answered, another object is accepted or another scan chosen.

    Parameters
    ----------
    work : Workspace
    """

    def __init__(self, work: Workspace) -> None:
        super().__init__()
        self._work = work
        work.accepted.connect(self._on_accepted)
        work.switched.connect(lambda _view: self.withdraw())

    def offer_back(self, case: Case | None) -> None:
        """Tell of a case that was forgotten, and offer to put it back."""
        if case is None:
            return

        def put_back() -> None:
            self.withdraw()
            self._work.memory.put_back(case)

        self.show_message(
            f"Forgot {case.entry.name} of {case.entry.date}; nothing of it is on this disk.",
            [
                NoticeChoice("Put it back", "Remember it as before.", put_back),
                NoticeChoice("Leave it so", "Put this away.", self.withdraw),
            ],
        )

    def _on_accepted(self, number: int) -> None:
        view, memory = self._work.view, self._work.memory
        if view is None or memory.when == "never" or memory.bank is None:
            return
        why = view.session.reason_not_to_remember(number)
        if memory.when == "always" and why is None:
            self._remember(view, number)
        else:
            self._ask(view, number, why)

    def _ask(self, view: SessionView, number: int, why: str | None) -> None:
        each = view.session.state.object(number)
        no = NoticeChoice("Not this one", "It is accepted all the same.", self.withdraw)
        if not each.is_named:
            name = NoticeChoice("Name it...", name_object.hint, lambda: self._name(view, number))
            self.show_message(f"To remember {each.name} for other scans, name it.", [name, no])
            return
        tooltip = "Nothing leaves this machine: features of it, no voxels, no patient data."
        yes = NoticeChoice("Remember", tooltip, lambda: self._remember(view, number))
        self.show_message(f"Remember {each.name} for other scans? {why or ''}".strip(), [yes, no])

    def _name(self, view: SessionView, number: int) -> None:
        view.run(lambda session: session.select_object(number))
        name_object.run(self._work)
        if view.session.state.object(number).is_named:
            self._ask(view, number, view.session.reason_not_to_remember(number))

    def _remember(self, view: SessionView, number: int) -> None:
        self.withdraw()
        self._work.memory.remember(view.session, number, self._tell)

    def _tell(self, entry: Entry) -> None:
        self._work.message.emit(f"Remembered {entry.name} for other scans.")
