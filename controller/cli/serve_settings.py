"""Settings of `msq serve`: each declared once, with its option, variable and key in the settings file.

An option wins over a variable, that over the file, that over the default. In a variable the items of a list are
separated by commas. Relative paths of the file are relative to its folder.
"""

# ruff: noqa: RUF009 (a field's declaration is made by a function, which answers dataclasses' own `field`)
from __future__ import annotations

import difflib
import inspect
import os
import tomllib
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Annotated, Any, Optional

import typer

PREFIX = "MSQ_"
FILE_SETTING = "settings"


class SettingError(Exception):
    """A setting that cannot be used; the text names it and where it was given."""


Parse = Callable[[str, Path], Any]
"""From text; the folder is what a relative path is relative to. Raises ValueError."""


@dataclass(frozen=True)
class Declared:
    """What a field of ServeSettings says about itself."""

    help: str
    parse: Parse
    key: str
    flags: tuple[str, ...]
    shown: str
    many: bool


def _setting(
    default: Any, help: str, parse: Parse, *, key: str = "", flags: tuple[str, ...] = (), shown: str = "",
    many: bool = False,
) -> Any:  # fmt: skip
    """`shown`: the default in words, where its value does not say it. `many`: a list, its option may be repeated."""
    return field(default=default, metadata={"declared": Declared(help, parse, key, flags, shown, many)})


def _text(text: str, folder: Path) -> str:
    return text


def _path(text: str, folder: Path) -> Path:
    return folder / Path(text).expanduser()


def _place(text: str, folder: Path) -> str:
    """A folder, or `s3://bucket/prefix` and the like."""
    return text if "://" in text else str(_path(text, folder))


def _bytes(text: str, folder: Path) -> int:
    from msq.context import parse_bytes

    return parse_bytes(text)


def _whole(low: int, high: int | None = None) -> Parse:
    def parse(text: str, folder: Path) -> int:
        try:
            value = int(text)
        except ValueError:
            raise ValueError(f"[{text}] is not a whole number") from None
        if value < low or (high is not None and value > high):
            span = f"{low} or more" if high is None else f"{low} to {high}"
            raise ValueError(f"[{text}] must be {span}")
        return value

    return parse


def _one_of(*words: str) -> Parse:
    def parse(text: str, folder: Path) -> str:
        if text not in words:
            raise ValueError(f"[{text}] must be one of [{', '.join(words)}]")
        return text

    return parse


_LOCAL = "any; none when listening beyond this machine"


@dataclass(frozen=True)
class ServeSettings:
    """A field `access_hosts` with the key `access.hosts` has the variable `MSQ_ACCESS_HOSTS`; None: as `shown` says."""

    host: str = _setting("127.0.0.1", "Address to listen on.", _text)
    port: int = _setting(8888, "Port; 0 takes a free one.", _whole(0, 65_535))
    data_dir: Path = _setting(
        Path("msq-data"), "Folder of metadata, segments and temporary files.", _path, flags=("--data-dir", "-d")
    )
    workers: str = _setting("thread", "What workers of tasks are: thread or process.", _one_of("thread", "process"))
    task_slots: int | None = _setting(
        None, "Controllers and workers at once.", _whole(2), shown="a controller, and a worker for each processor"
    )
    memory: int = _setting(4 << 30, "Memory bound of the process.", _bytes, flags=("--memory", "-m"), shown="4GiB")
    threads: int | None = _setting(None, "Processing threads.", _whole(1), shown="the processors there are")
    password_file: Path | None = _setting(
        None, "Users as lines name:password, roles in brackets after the name; needed to listen beyond this machine.",
        _path, shown="nobody is asked who he is",
    )  # fmt: skip
    lookups: Path | None = _setting(
        None, "File of lookups by name (JSON, TOML): tables of texts, or specs as Druid's.", _path, shown="none"
    )
    console_dir: Path | None = _setting(None, "Folder of a built Druid web console, served at /.", _path, shown="none")
    storage_deep: str | None = _setting(
        None, "Where segments rest: a folder, or s3://bucket/prefix.", _place, key="storage.deep",
        flags=("--deep-storage",), shown="in the data folder",
    )  # fmt: skip
    storage_durable: str | None = _setting(
        None, "Where durable outputs of stages are: a folder, or s3://bucket/prefix.", _place, key="storage.durable",
        flags=("--durable-storage",), shown="in the data folder",
    )  # fmt: skip
    s3_endpoint: str | None = _setting(
        None, "URL of the S3 store. Credentials come from where AWS's tools look for them.", _text, key="s3.endpoint",
        shown="Amazon's",
    )  # fmt: skip
    s3_region: str | None = _setting(None, "Region of the S3 store.", _text, key="s3.region", shown="Amazon's default")
    google_endpoint: str | None = _setting(
        None, "URL of the Google store.", _text, key="google.endpoint", shown="Google's"
    )
    azure_account: str | None = _setting(
        None, "Account of the azure input source; azureStorage names its own.", _text, key="azure.account", shown="none"
    )
    azure_endpoint: str | None = _setting(
        None, "URL of the Azure store.", _text, key="azure.endpoint", shown="the account's"
    )
    access_folders: tuple[Path, ...] | None = _setting(
        None, "Folder that local input sources may read.", _path, key="access.folders", flags=("--input-dir",),
        shown=_LOCAL, many=True,
    )  # fmt: skip
    access_exports: tuple[str, ...] | None = _setting(
        None, "Folder that exports may write into, or s3://bucket/prefix.", _place, key="access.exports",
        flags=("--export-dir",), shown=_LOCAL, many=True,
    )  # fmt: skip
    access_hosts: tuple[str, ...] | None = _setting(
        None, "Host that input sources may ask: name, *.name, name:port, or * for any.", _text, key="access.hosts",
        flags=("--input-host",), shown=_LOCAL, many=True,
    )  # fmt: skip
    access_databases: tuple[str, ...] | None = _setting(
        None, "Database that the sql input source may ask: postgresql://host:port/name, without its name, or *.",
        _text, key="access.databases", flags=("--input-database",), shown=_LOCAL, many=True,
    )  # fmt: skip
    access_schemes: tuple[str, ...] = _setting(
        ("http", "https"), "Scheme of URIs that input sources may ask.", _text, key="access.schemes",
        flags=("--input-scheme",), many=True,
    )  # fmt: skip
    access_headers: tuple[str, ...] = _setting(
        (), "Request header that a statement may set for its input source.", _text, key="access.headers",
        flags=("--input-header",), shown="none", many=True,
    )  # fmt: skip
    limits_body: int = _setting(64 << 20, "Size of a request's body.", _bytes, key="limits.body", shown="64MiB")
    limits_json_depth: int = _setting(200, "Levels of nesting in a request's JSON.", _whole(1), key="limits.json_depth")
    limits_rows: int | None = _setting(
        None, "Rows that an interactive query may answer.", _whole(1), key="limits.rows", shown="no limit"
    )
    limits_time: int | None = _setting(
        None, "Milliseconds that an interactive query may run.", _whole(1), key="limits.time", shown="no limit"
    )
    limits_queries: int = _setting(
        8,
        "Interactive queries at once, when some take long; others wait for their turn.",
        _whole(1, 10_000),
        key="limits.queries",
    )


DECLARED: dict[str, Declared] = {f.name: f.metadata["declared"] for f in fields(ServeSettings)}
_DEFAULTS = ServeSettings()


def key_of(name: str) -> str:
    """Of a field, in the settings file; a dot leads into a table."""
    return DECLARED[name].key or name


def flags_of(name: str) -> tuple[str, ...]:
    return DECLARED[name].flags or ("--" + name.replace("_", "-"),)


def variable_of(name: str) -> str:
    return PREFIX + name.upper()


def read_settings(
    options: Mapping[str, str | list[str] | None], environment: Mapping[str, str] | None = None
) -> ServeSettings:
    """Options (by field, and `settings`: the file), variables, file and defaults as one. Raises SettingError."""
    variables = os.environ if environment is None else environment
    file = options.get(FILE_SETTING) or variables.get(variable_of(FILE_SETTING))
    given = _of_file(Path(str(file)).expanduser()) if file else {}
    here = Path()
    for name, declared in DECLARED.items():
        text = variables.get(variable_of(name))
        if text:
            items = [item.strip() for item in text.split(",")] if declared.many else [text]
            given[name] = _value(name, f"variable {variable_of(name)}", items, here)
        option = options.get(name)
        if option is not None and option != []:
            items = option if isinstance(option, list) else [option]
            given[name] = _value(name, f"option {flags_of(name)[0]}", items, here)
    return ServeSettings(**given)


def unknown_variables(environment: Mapping[str, str]) -> list[str]:
    """Variables that look like settings and are none."""
    known = {variable_of(name) for name in (*DECLARED, FILE_SETTING)}
    return sorted(name for name in environment if name.startswith(PREFIX) and name not in known)


def _of_file(file: Path) -> dict[str, Any]:
    try:
        tree = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise SettingError(f"Cannot read settings file [{file}]: {error.strerror}") from error
    except ValueError as error:
        raise SettingError(f"Settings file [{file}] is not TOML: {error}") from error
    names = {key_of(name): name for name in DECLARED}
    tables = {key.partition(".")[0] for key in names if "." in key}
    given: dict[str, Any] = {}
    for key, value in _flat(tree, tables).items():
        if key not in names:
            close = difflib.get_close_matches(key, names, 1)
            hint = f"did you mean [{close[0]}]?" if close else f"known are [{', '.join(names)}]"
            raise SettingError(f"Settings file [{file}] has an unknown key [{key}]: {hint}")
        where = f"key [{key}] of [{file}]"
        given[names[key]] = _value(names[key], where, _texts(value, DECLARED[names[key]].many, where), file.parent)
    return given


def _flat(tree: Mapping[str, Any], tables: set[str]) -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for key, value in tree.items():
        if key in tables and isinstance(value, dict):
            flat.update({f"{key}.{inner}": v for inner, v in value.items()})
        else:
            flat[key] = value
    return flat


def _texts(value: Any, many: bool, where: str) -> list[str]:
    items = value if many and isinstance(value, list) else [value]
    for item in items:
        if isinstance(item, bool) or not isinstance(item, (str, int)):
            raise SettingError(f"The {where} takes {'a list of texts' if many else 'a text or number'}, not [{item}]")
    return [str(item) for item in items]


def _value(name: str, where: str, items: list[str], folder: Path) -> Any:
    declared = DECLARED[name]
    try:
        values = tuple(declared.parse(item, folder) for item in items)
    except ValueError as error:
        raise SettingError(f"The {where}: {error}") from error
    return values if declared.many else values[0]


# -- the command line --------------------------------------------------------------------------------------------------


def takes_settings(command: Callable[..., None]) -> Callable[..., None]:
    """The command gets an option for each setting, as text, and one for the settings file."""
    file_option = typer.Option(f"--{FILE_SETTING}", help=f"File of settings (TOML). Variable {PREFIX}SETTINGS.")
    hints: dict[str, Any] = {FILE_SETTING: Annotated[Optional[str], file_option]}  # noqa: UP045
    for name, declared in DECLARED.items():
        default = declared.shown or _shown(getattr(_DEFAULTS, name))
        more = " May be repeated." if declared.many else ""
        key = f" Key {declared.key}." if declared.key else ""
        text = f"{declared.help}{more} Default: {default}. Variable {variable_of(name)}.{key}"
        kind: Any = Optional[list[str]] if declared.many else Optional[str]  # noqa: UP045
        hints[name] = Annotated[kind, typer.Option(*flags_of(name), help=text, show_default=False)]
    kind_of = inspect.Parameter.KEYWORD_ONLY
    parameters = [inspect.Parameter(n, kind_of, default=None, annotation=hint) for n, hint in hints.items()]
    command.__annotations__ = hints
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    return command


def _shown(default: Any) -> str:
    return ", ".join(map(str, default)) if isinstance(default, tuple) else str(default)
