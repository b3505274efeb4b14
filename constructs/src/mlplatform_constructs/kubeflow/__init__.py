"""Objects that data scientists create in Kubeflow, as typed values that are validated when they are created.

Each class has ``to_json()``, which returns an object for :class:`mlplatform_constructs.charts.ComponentChart`,
``Manifests``, a pipeline or ``kubectl``. It needs neither cdk8s nor the AWS CDK.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
