"""Advice on jobs with data in S3: what a job needs, how long it takes and what it costs, before it starts."""

from job_adviser.advice import Advice, advise
from job_adviser.calibration import Calibration, RecordedRun, cross_validated
from job_adviser.dataset import Dataset
from job_adviser.errors import AdviserError, InvalidRequest, NotFound, NotPermitted, NotUsable
from job_adviser.estimate import Estimate, Estimator, Job, LocalMachine
from job_adviser.examine import examine
from job_adviser.prices import Mix, Prices
from job_adviser.proposals import Proposal, Thresholds, proposals
from job_adviser.ranges import Range

__all__ = [
    "Advice",
    "AdviserError",
    "Calibration",
    "Dataset",
    "Estimate",
    "Estimator",
    "InvalidRequest",
    "Job",
    "LocalMachine",
    "Mix",
    "NotFound",
    "NotPermitted",
    "NotUsable",
    "Prices",
    "Proposal",
    "Range",
    "RecordedRun",
    "Thresholds",
    "advise",
    "cross_validated",
    "examine",
    "proposals",
]
