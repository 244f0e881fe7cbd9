"""Commands about the installation itself."""

from __future__ import annotations

import argparse
from typing import Any

from pipelines.commands.arguments import add_command
from pipelines.commands.exit_status import DONE, FAILED


def add(commands: Any) -> None:
    """Add the commands of this group to the parser."""
    add_command(commands, "doctor", _doctor, "check what works on this machine")


def _doctor(options: argparse.Namespace) -> tuple[int, Any]:
    from pipelines.doctor import examine

    findings = examine()
    if not options.json:
        for finding in findings:
            print(f"{'ok  ' if finding.ok else 'FAIL'}  {finding.name:18} {finding.message}")
    return (DONE if all(finding.ok for finding in findings) else FAILED), findings
