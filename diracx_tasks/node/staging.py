"""Files of inputs from their stores into the attempt's folder, files of outputs from there into stores."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from diracx_tasks.core.client import Client
from diracx_tasks.node.halt import Halt
from diracx_tasks.node.incoming import Incoming
from diracx_tasks.node.outgoing import Delivery, Outgoing, measure, outgoing
from diracx_tasks.node.placing import Placing
from diracx_tasks.node.transfer import StagingError, Transfers
from diracx_tasks.node.upload import Upload, archives, matching

__all__ = ["Placing", "Staging", "StagingError"]


class Staging:
    """Moves the files of one attempt; `folder` is where an archive of outputs may be made."""

    def __init__(
        self, client: Client, halt: Halt, job_id: int, attempt: int, folder: Path | None = None
    ) -> None:
        self._transfers = Transfers(client, halt, job_id, attempt)
        self._incoming = Incoming(self._transfers)
        self._halt = halt
        self._folder = folder

    def fetch(self, inputs: Any, placing: Placing, before_download: Callable[[], None]) -> Any:
        """The inputs with all their files on disk; `before_download` is called if that takes a store.

        Raises StagingError, Halted, and ApiError when the server refuses.
        """
        placed = placing.place(inputs)
        if placing.wanted or placing.folders:
            before_download()
        self._incoming.fetch(placing)
        return placed

    def store(
        self,
        outputs: dict[str, Any],
        before_upload: Callable[[int], None],
        payload: Mapping[str, Any] | None = None,
    ) -> Any:
        """The outputs with all their files in stores, and in the catalogue where the payload says so.

        `before_upload` is told the number of bytes to send, unless the stores have everything already.
        Raises StagingError, Halted, and ApiError when the server refuses.
        """
        delivery, files = Delivery.of(payload or {}), dict[str, list[Outgoing]]()
        told = outgoing(outputs, delivery, files)
        for file in (one for some in files.values() for one in some):
            self._halt.check()
            measure(file)
        upload = Upload(self._transfers, before_upload)
        to_send = [one for some in files.values() for one in some if not self._is_known(one)]
        kept = [one for name in delivery.sandbox for one in files[name]]
        with archives([*self._matching(delivery), *kept], self._folder) as made:
            to_send += made
            upload.send(to_send)
        upload.register(to_send)
        for file in (one for some in files.values() for one in some):
            file.value["location"] = file.location
        return told

    def keep(self, payload: Mapping[str, Any]) -> None:
        """Of a job that has failed: have the files that match patterns kept as its sandbox.

        Raises StagingError, Halted, and ApiError when the server refuses.
        """
        upload = Upload(self._transfers, lambda size: None)
        with archives(self._matching(Delivery.of(payload)), self._folder) as made:
            upload.send(made)
        upload.register(made)

    def _matching(self, delivery: Delivery) -> list[Outgoing]:
        return matching(self._folder, delivery.patterns) if self._folder and delivery.patterns else []

    def _is_known(self, file: Outgoing) -> bool:
        """Whether the file is an input with an LFN that has come through as it was; it then stays that."""
        name = file.value["basename"]
        known = (f"sha256:{file.sha256}", f"sha1:{file.sha1}")
        lfns = [self._incoming.lfns.get((name, file.size, checksum)) for checksum in known]
        file.location = next((one for one in lfns if one), "")
        return bool(file.location) and not file.lfn
