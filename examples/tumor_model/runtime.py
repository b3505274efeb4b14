"""Serves a package of the model repository in MLServer: records in, predictions out, by the Open Inference Protocol.

A request has one input ``records`` of type BYTES, each element a record as JSON. The response has one output
``predictions`` of the same kind and order.
"""

import json
from pathlib import Path

from mlserver import MLModel
from mlserver.codecs import StringCodec
from mlserver.errors import InferenceError
from mlserver.types import InferenceRequest, InferenceResponse
from mlserver.utils import get_model_uri
from package_worker import load_package


class PackageModel(MLModel):  # type: ignore[misc]
    """A package: its feature extractor, then its model."""

    async def load(self) -> bool:
        """Import the two entry points of the package."""
        folder = Path(await get_model_uri(self._settings))
        self._predict = load_package(folder, self._settings.parameters.extra)
        return True

    async def predict(self, payload: InferenceRequest) -> InferenceResponse:
        """Predict each record of a request.

        :raises InferenceError: for a request of another form, which MLServer answers with status 400.
        """
        if [given.name for given in payload.inputs] != ["records"]:
            raise InferenceError("inputs: must be one, called 'records'")
        try:
            records = [json.loads(text) for text in StringCodec.decode_input(payload.inputs[0])]
            found = [json.dumps(self._predict(record)) for record in records]
        except (KeyError, TypeError, ValueError) as error:
            raise InferenceError(f"records: {type(error).__name__}: {error}") from None
        output = StringCodec.encode_output("predictions", found)
        return InferenceResponse(model_name=self.name, model_version=self.version, outputs=[output])
