# SPDX-License-Identifier: ISC
"""A home and a fake daemon as the other tests of the CLI have them."""
import importlib.util
import os
import sys

CLI = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "cli")
sys.path.insert(0, CLI)
spec = importlib.util.spec_from_file_location("cli_conftest", os.path.join(CLI, "conftest.py"))
cli = importlib.util.module_from_spec(spec)
spec.loader.exec_module(cli)
home, fake, pytest_configure = cli.home, cli.fake, cli.pytest_configure
