"""Questions for both libraries, some of them for each item of docs/maintainers/conformance.md.

`tests.interop.record` writes libcni's answers to ``vectors/``.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from tests.interop.wire import Question

from . import configurations, files, results, words

FAMILIES: Final[Mapping[str, Sequence[Question]]] = {
    "configurations": configurations.SINGLE,
    "configuration-lists": configurations.LISTS,
    "network-configurations": configurations.NEWER,
    "injections": configurations.INJECTIONS,
    "previous-results": configurations.PREVIOUS_RESULTS,
    "results": results.READ,
    "conversions": results.CONVERTED,
    "plugin-output": results.PRINTED,
    "versions": words.VERSIONS,
    "plugin-info": words.PLUGIN_INFO,
    "identifiers": words.IDENTIFIERS,
    "args": words.ARGS,
    "errors": words.ERRORS,
    "files": files.FILES,
}
