"""From a stream of events to online features: parse, keep, add to the buckets of the entity, read.

The folder depends on boto3 alone, so that an image that serves models can carry it: ``online.OnlineFeatures`` reads.
"""
