"""Tests of `cni_async.netns`, with real namespaces."""
