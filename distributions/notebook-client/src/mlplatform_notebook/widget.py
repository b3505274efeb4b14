"""The widget for JupyterLab: choose data, compare times and cost, run in AWS or locally, follow and cancel.

What the browser asks for is done in threads, so that the notebook can go on.
"""

import threading
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import anywidget
import traitlets

from job_adviser.errors import AdviserError
from mlplatform_notebook.client import Client, ClientError
from mlplatform_notebook.runs import Run, follow, run

_HERE = Path(__file__).parent


class JobWidget(anywidget.AnyWidget):  # type: ignore[misc]
    """Shows advice on data, and runs its preparation.

    :param client: calls the adviser.
    :param inputs: ``s3://`` prefixes to choose from; others can be typed.
    :param output: ``s3://`` prefix below which prepared data is written.
    :param options: options of each request for advice, such as ``job``.
    :param s3: a boto3 S3 client for local runs. Default: a new one.
    :param every: seconds between two looks at a run.
    """

    _esm = _HERE / "widget.js"
    _css = _HERE / "widget.css"
    inputs = traitlets.List(traitlets.Unicode()).tag(sync=True)
    output = traitlets.Unicode().tag(sync=True)
    advice = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    progress = traitlets.Dict(allow_none=True, default_value=None).tag(sync=True)
    error = traitlets.Unicode("").tag(sync=True)
    busy = traitlets.Unicode("").tag(sync=True)

    def __init__(
        self,
        client: Client,
        *,
        inputs: Sequence[str],
        output: str,
        options: dict[str, Any] | None = None,
        s3: Any = None,
        every: float = 2.0,
    ) -> None:
        super().__init__(inputs=list(inputs), output=output)
        self.run: Run | None = None
        """The run that was started last."""
        self._client, self._options, self._s3, self._every = client, options or {}, s3, every
        self.on_msg(self._on_message)

    def _on_message(self, _widget: object, content: dict[str, Any], _buffers: object) -> None:
        actions: dict[str, Callable[[], None]] = {
            "advise": lambda: self._advise(content["input"]),
            "run": lambda: self._start(content),
            "cancel": self._cancel,
        }
        action = actions.get(content.get("action", ""))
        if action:
            threading.Thread(target=self._guarded, args=(content["action"], action), daemon=True).start()

    def _guarded(self, name: str, action: Callable[[], None]) -> None:
        self.error, self.busy = "", name
        try:
            action()
        except (ClientError, AdviserError) as error:
            self.error = str(error)
        except Exception as error:  # a thread has no other way to report
            self.error = f"{type(error).__name__}: {error}"
        finally:
            self.busy = ""

    def _advise(self, input: str) -> None:
        self.advice = None
        self.advice = self._client.advise(input, **self._options).document

    def _start(self, content: dict[str, Any]) -> None:
        self.progress = None
        self.run = run(
            content["input"],
            content["output"],
            where=content["where"],
            format=content["format"],
            client=self._client,
            s3=self._s3,
        )
        for found in follow(self.run, every=self._every):
            self.progress = {**asdict(found), "run": self.run.id, "where": content["where"]}

    def _cancel(self) -> None:
        if self.run:
            self.run.cancel()
