"""Tests of `cni_async.networks`."""
