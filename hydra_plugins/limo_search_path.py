"""Adds the project's and the package's folders of configurations to Hydra's search path, for us alone.

Hydra imports this file at every start of any application that it finds it installed beside, so nothing is
imported here, and nothing is added unless `limo_ablate.trial.compose` has Hydra compose.
"""

import sys

from hydra.core.config_search_path import ConfigSearchPath
from hydra.plugins.search_path_plugin import SearchPathPlugin


class LimoSearchPath(SearchPathPlugin):
    def manipulate_search_path(self, search_path: ConfigSearchPath) -> None:
        compose = sys.modules.get("limo_ablate.trial.compose")
        if compose is None:
            return
        main = {element.path for element in search_path.get_path()}
        for folder in compose.SEARCH_PATH.get():
            if folder not in main:
                search_path.append("limo-ablate", folder)
