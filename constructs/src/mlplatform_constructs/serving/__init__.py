"""Models that answer requests: Seldon Core, KServe and plain servers, as values that are validated when created.

:class:`SeldonDeployment`, :class:`InferenceService`, :class:`InferenceSplit` and :class:`ModelServer` are each a
:class:`ServedModel`: they know the address at which they predict. All but :class:`ModelServer`, which is written with
cdk8s-plus for teams to extend, need neither cdk8s nor the AWS CDK.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
