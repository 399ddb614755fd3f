"""What a bundle needs of the package that no import statement names."""

from PyInstaller.utils.hooks import collect_data_files, collect_submodules

_APART = ("_pyinstaller", "cli", "otel", "testing", "__main__")  # only for programs that import them

hiddenimports = collect_submodules(
    "whereby_async", filter=lambda name: not f"{name}.".startswith(tuple(f"whereby_async.{part}." for part in _APART))
)
datas = collect_data_files("whereby_async", includes=["**/*.lua"])
module_collection_mode = {"whereby_async.limiter": "pyz+py"}  # `RedisPointBudget` translates the source of its rules
