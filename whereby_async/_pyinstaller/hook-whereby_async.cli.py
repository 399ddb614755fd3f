"""What a bundle needs of the command line: the modules of its commands, which are imported by name."""

from PyInstaller.utils.hooks import collect_submodules

hiddenimports = collect_submodules("whereby_async.cli")
