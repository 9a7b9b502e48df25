"""Hydra's DictConfig becomes a typed `TrialConfig` here, and nowhere else.

    compose(["model=mini_m", "select.size=64"]) -> TrialConfig
    compose_trials([[...], [...]])              -> one TrialConfig a trial, all checked before anything runs

Configuration files are those of the user's project, then the package's (`limo_ablate.core.project`), along
Hydra's own search path. Composing costs 0.1 s and more, so each distinct set of group choices is composed
once, and `key=value` overrides are put into what came out (`limo_ablate.trial.template`), before
interpolations are resolved.
"""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from functools import cache
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException, MissingConfigException
from omegaconf import DictConfig, OmegaConf, open_dict
from omegaconf.errors import OmegaConfBaseException

from limo_ablate.core.credentials import refuse_credentials
from limo_ablate.core.errors import UserError
from limo_ablate.core.overrides import CONFIG_DIR, CONFIG_NAME, CONFIG_PATH, literal, unreadable
from limo_ablate.core.project import conf_folders
from limo_ablate.core.typed import from_dict, nearest
from limo_ablate.trial.config import TrialConfig
from limo_ablate.trial.resolvers import limit_environment
from limo_ablate.trial.template import NotPlain, Sections, Template, Value

SEARCH_PATH: ContextVar[tuple[str, ...]] = ContextVar("SEARCH_PATH", default=())
"""Folders that `hydra_plugins.limo_search_path` adds to Hydra's own; none unless Hydra composes for us."""
LISTED = "hydra.searchpath"
"""The key that lists folders to look into after all others."""
PRIMARY = "config"
"""Name of the file in which every configuration begins."""
PATH_KEYS = {"model": "model=local model.path", "data": "data=jsonl data.path"}
"""Group -> what takes a path, where the group was given one."""
Folders = tuple[Path, ...]

limit_environment()


def to_trial(cfg: DictConfig) -> TrialConfig:
    """The typed form of a composed configuration. Raises UserError for anything the schema does not allow."""
    try:
        data = OmegaConf.to_container(cfg, resolve=True, throw_on_missing=True)
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {_own_reason(error) or _first_line(error)}") from error
    assert isinstance(data, dict)
    sections = {str(key): value for key, value in data.items() if key != "hydra"}
    refuse_credentials(sections, "")
    return from_dict(TrialConfig, sections)


def compose(overrides: Sequence[str]) -> TrialConfig:
    return compose_trials([overrides])[0]


def compose_trials(trials: Sequence[Sequence[str]]) -> list[TrialConfig]:
    """The typed configuration of each list of overrides; UserError names the first override that is wrong."""
    composed = _Composed()
    typed: dict[tuple[str, ...], TrialConfig] = {}
    for overrides in map(tuple, trials):
        if overrides not in typed:
            typed[overrides] = composed.trial(overrides)
    return [typed[tuple(overrides)] for overrides in trials]


def compose_sections(overrides: Sequence[str], *names: str, resolve: bool = True) -> dict[str, Any]:
    """These sections as plain data; the other ones need not be complete. Raises UserError."""
    groups, values = _split(overrides, conf_folders())
    config = _updated(_compose(groups), values)
    try:
        sections = {name: OmegaConf.to_container(config[name], resolve=resolve) for name in names}
    except OmegaConfBaseException as error:
        raise UserError(f"{error.full_key}: {_own_reason(error) or _first_line(error)}") from error
    return sections


class _Composed:
    """What has been composed so far, by group choices."""

    def __init__(self) -> None:
        self._folders = conf_folders()
        self._configs: dict[tuple[str, ...], DictConfig] = {}
        self._templates: dict[tuple[str, ...], Template | None] = {}
        self._siblings: dict[tuple[str, ...], tuple[str, dict[str, Any]]] = {}
        self._sections = Sections()

    def trial(self, overrides: Sequence[str]) -> TrialConfig:
        groups, values = _split(overrides, self._folders)
        if groups not in self._templates:
            self._templates[groups] = self._template(groups)
        if (template := self._templates[groups]) is not None:
            try:
                return template.trial(values)
            except NotPlain:
                pass
        return to_trial(_updated(self._config(groups), values))

    def _config(self, groups: tuple[str, ...]) -> DictConfig:
        if groups not in self._configs:
            self._configs[groups] = _compose(groups)
        return self._configs[groups]

    def _template(self, groups: tuple[str, ...]) -> Template | None:
        try:
            return Template(self._plain(groups), self._sections)
        except NotPlain:
            return None

    def _plain(self, groups: tuple[str, ...]) -> dict[str, Any]:
        """Composed, not resolved. Where only the choice in a group that stands alone differs from what has
        been composed already, its section comes from the choice's file."""
        alone = {}
        for place, text in enumerate(groups):
            group, _, choice = text.partition("=")
            others = (*groups[:place], group, *groups[place + 1 :])
            if _alone(group, others, self._folders) and self._file(group, choice):
                alone[others] = group, choice
        for others, (group, choice) in alone.items():
            first, plain = self._siblings.get(others, (choice, {}))
            if plain and plain[group] == _content(self._file(group, first)):
                return {**plain, group: _content(self._file(group, choice))}
        composed = _plain(self._config(groups))
        self._siblings.update({others: (choice, composed) for others, (_, choice) in alone.items()})
        return composed

    def _file(self, group: str, choice: str) -> Path | None:
        """The file that Hydra would take."""
        files = (folder / group / f"{choice}.yaml" for folder in self._folders)
        return next((file for file in files if file.is_file()), None)


def _alone(group: str, others: Sequence[str], folders: Folders) -> bool:
    """Whether nothing but the group's own file fills its section, whichever choices are made."""
    keys = [text.partition("=")[0] for text in others]
    if keys.count(group) > 1 or any(
        key[:1] in ("+", "~", "-") or "@" in key or key.startswith("hydra.") for key in keys
    ):
        return False
    return group.isidentifier() and _fills_its_section(group, folders)


@cache
def _fills_its_section(group: str, folders: Folders) -> bool:
    """By the files of `folders`: the group's have no defaults and no package of their own, and no file that
    is placed elsewhere than under its group's name has such a section or places another one there."""
    for folder, file in ((parent, file) for parent in folders for file in parent.rglob("*.yaml")):
        text = file.read_text()
        placed = file.parent == folder or "@package" in text
        if file.parent == folder / group and (placed or re.search(r"^defaults\b", text, re.MULTILINE)):
            return False
        if placed and re.search(rf"^(?:{group}\b|['\"{{])|@{group}\b", text, re.MULTILINE):
            return False
        if re.search(rf"@_global_\.{group}\b", text):
            return False
    return True


def _plain(config: DictConfig) -> dict[str, Any]:
    plain: Any = OmegaConf.to_container(config, resolve=False)
    return dict(plain)


@cache
def _content(file: Path) -> Any:
    return OmegaConf.to_container(OmegaConf.load(file), resolve=False)


@contextmanager
def _hydra(first: str | None = None, last: str | None = None) -> Iterator[None]:
    """Hydra's global state, ours for a while; what was there (a running multirun) comes back."""
    instance = GlobalHydra.instance()
    saved, instance.hydra = instance.hydra, None
    try:
        with search_path(last) as ours, initialize_config_dir(first or ours, version_base="1.3"):
            yield
    finally:
        instance.hydra = saved


@contextmanager
def search_path(last: str | None = None) -> Iterator[str]:
    """The folder that Hydra is to start from; it looks into all of ours, then into `last`, as long as this
    lasts."""
    folders = tuple(map(str, conf_folders()))
    token = SEARCH_PATH.set(folders if last is None else (*folders, last))
    try:
        yield folders[0]
    finally:
        SEARCH_PATH.reset(token)


def search_path_overrides(hydra: DictConfig) -> list[str]:
    """Overrides with which each trial of a multirun is composed from the same file, along the same path."""
    overrides = [] if hydra.job.config_name == PRIMARY else [f"{CONFIG_NAME}={hydra.job.config_name}"]
    listed = []
    for source in hydra.runtime.config_sources:
        path = Path(source.path).resolve() if source.schema == "file" else source.path
        if source.provider == "main" and source.path != str(conf_folders()[0]):
            overrides.append(f"{CONFIG_PATH}={path}")
        elif source.provider == "command-line":
            overrides.append(f"{CONFIG_DIR}={path}")
        elif source.provider.startswith(LISTED):
            listed.append(f"{source.schema}://{path}")
    return [*overrides, f"{LISTED}={literal(listed)}"] if listed else overrides


def _split(overrides: Sequence[str], folders: Folders) -> tuple[tuple[str, ...], list[Value]]:
    """Overrides that need Hydra (group choices, additions, deletions) and plain `key=value` ones."""
    if any(text.startswith((LISTED, CONFIG_PATH, CONFIG_DIR)) for text in overrides):
        return tuple(overrides), []  # which keys are groups is for Hydra to say
    read = [_read(text, folders) for text in overrides]
    groups = tuple(text for text in read if isinstance(text, str))
    return groups, [value for value in read if isinstance(value, Value)]


@cache  # cells repeat the same few overrides
def _read(text: str, folders: Folders) -> Value | str:
    if text.startswith(CONFIG_NAME):
        return text
    try:
        (override,) = OverridesParser.create().parse_overrides([text])
    except HydraException as error:
        raise unreadable(text, error) from error
    key = override.get_key_element()
    if _is_value(key, folders) and not override.is_sweep_override():
        return Value.of(key, text, override.value())
    return str(override.input_line)


def _is_value(key: str, folders: Folders) -> bool:
    """Whether a key names one of our values; groups, `+new`, `~gone`, `a@b` and hydra's own are Hydra's."""
    if key[0] in "+~" or "/" in key or "@" in key or key.startswith("hydra."):
        return False
    return not any((folder / key).is_dir() for folder in folders)


def _flags(overrides: Sequence[str]) -> tuple[dict[str, str], list[str]]:
    """Hydra's flags with their values, and the overrides other than these."""
    flags = dict(text.split("=", 1) for text in overrides if text.startswith("--"))
    return flags, [text for text in overrides if not text.startswith("--")]


def _by_hydra(flags: dict[str, str], overrides: list[str]) -> DictConfig:
    with _hydra(flags.get(CONFIG_PATH), flags.get(CONFIG_DIR)):
        return hydra_compose(flags.get(CONFIG_NAME, PRIMARY), overrides)


def _compose(overrides: Sequence[str]) -> DictConfig:
    try:
        return _by_hydra(*_flags(overrides))
    except (HydraException, OmegaConfBaseException) as error:
        raise explain(error, overrides) from error
    except ValueError as error:  # a group that is neither a choice nor a list of them
        raise UserError(f"{' '.join(overrides)}: {_first_line(error)}") from error


def _updated(cfg: DictConfig, values: list[Value]) -> DictConfig:
    cfg = copy.deepcopy(cfg)
    for given in values:
        if problem := unknown_key(cfg, given.key):
            raise problem
        with open_dict(cfg):
            OmegaConf.update(cfg, given.key, given.value)
    return cfg


def unknown_key(cfg: DictConfig, key: str) -> UserError | None:
    """The error for a dotted key that the configuration does not have, with what it has instead."""
    node: Any = cfg
    path = ""
    for part in key.split("."):
        if not isinstance(node, DictConfig):
            return UserError(f"{key}: {path} has no keys, it is {node!r}{_instead_of_auto(path, node)}")
        if node._is_none() or node._is_interpolation():
            return None  # what it may hold is for the schema to say
        name = f"{path}.{part}" if path else part
        if part not in node:
            allowed = [str(k) for k in node if k != "hydra"]
            return UserError(f"{name}: unknown key{nearest(part, allowed)} Allowed: {', '.join(allowed)}")
        path, node = name, node._get_node(part)
    return None


def _instead_of_auto(path: str, node: Any) -> str:
    """How columns are named, where they were to be recognised."""
    if node != "auto" or not path.endswith("fields"):
        return ""
    return (
        "; to name columns yourself, paste what `limo-ablate data inspect FILE` prints into conf/data and "
        f"change it there, or use data=jsonl with {path}.problem, answer, solution and options (null for "
        "what the rows don't have)"
    )


def explain(error: Exception, overrides: Sequence[str]) -> UserError:
    """Hydra's error in one line: the key, the value, what is allowed, the nearest match."""
    if own := _own_reason(error):
        return UserError(own)
    if isinstance(error, MissingConfigException) and error.missing_cfg_file:
        if error.options is None:
            return _missing_file(error, error.missing_cfg_file)
        return _missing_choice(error.missing_cfg_file, error.options, overrides)
    flags, others = _flags(overrides)
    read = []
    for text in others:
        try:
            read.append(OverridesParser.create().parse_override(text))
        except HydraException as unread:
            return unreadable(text, unread)
    if "Ambiguous value" in str(error):
        several = next(
            text for text, override in zip(others, read, strict=True) if override.is_sweep_override()
        )
        return _several_values(*several.split("=", 1))
    try:
        default = _by_hydra(flags, [])
    except (HydraException, OmegaConfBaseException):
        return UserError(_first_line(error))  # it isn't the overrides
    for key in (override.get_key_element() for override in read):
        if _is_value(key, conf_folders()) and (problem := unknown_key(default, key)):
            return problem
    return UserError(_first_line(error))


def _several_values(key: str, values: str) -> UserError:
    return UserError(
        f"{key}={values}: several values for one trial; -m runs a trial for each; a list is {key}=[{values}]"
    )


def _missing_choice(missing: str, options: Sequence[str], overrides: Sequence[str]) -> UserError:
    """The error for a choice that Hydra has not found. It may be a path: `model=/tmp/x`."""
    pairs = [tuple(override.partition("=")[::2]) for override in overrides]
    group, choice = next((pair for pair in pairs if "/".join(pair) == missing), missing.rsplit("/", 1))
    if group in PATH_KEYS and ("/" in choice or Path(choice).exists()):
        return UserError(f"{group}={choice}: not a choice. For a path: {PATH_KEYS[group]}={choice}")
    return UserError(
        f"{group}={choice}: not a choice{nearest(choice, options)} Allowed: {', '.join(options)}"
    )


def _missing_file(error: MissingConfigException, name: str) -> UserError:
    """The error for a file that a configuration starts from or builds on, and that Hydra has not found."""
    folders = [Path(folder) for folder in re.findall(rf"provider=(?!{LISTED}).*path=file://(.+)", str(error))]
    files = {
        str(file.relative_to(folder).with_suffix(""))
        for folder in folders
        for file in (folder / name).parent.glob("*.yaml")
    }
    return UserError(
        f"{name}.yaml: no such configuration in {' or '.join(map(str, folders))}{nearest(name, files)} "
        f"There are: {', '.join(sorted(files))}"
    )


def _own_reason(error: BaseException | None) -> str | None:
    """What our own resolver says, where it is what OmegaConf's error is about."""
    while error is not None and not isinstance(error, UserError):
        error = error.__cause__ or error.__context__
    return None if error is None else str(error)


def _first_line(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return " ".join(lines[:2]) if lines else type(error).__name__
