"""Tell a person: ``SHOAL_ALERT_COMMAND`` is run with the text on its standard input.

Called when a task has failed for good, when one begins to wait for a server that does not answer, and when a
scheduled day is not complete. An alert that cannot be sent is logged and changes nothing else.
"""

from __future__ import annotations

import logging
import subprocess

from airflow.sdk import Context

import settings

LOG = logging.getLogger(__name__)
TIMEOUT_SECONDS = 60


def task_failed(context: Context) -> None:
    """Tell of a task that will not be tried again."""
    task = context["ti"]
    folder = f"{settings.airflow_dir()}/logs/dag_id={task.dag_id}/run_id={task.run_id}"
    cause = str(context.get("exception") or "its process ended without a word").strip()
    send(
        f"Shoal: {task.dag_id}.{task.task_id} failed in try {task.try_number}",
        cause,
        f"run: {task.run_id}",
        f"logs: {folder}/task_id={task.task_id}",
        "what to do: python -m serving status --shop <shop>, and docs/operations.md",
    )


def task_waits(context: Context, reason: str) -> None:
    """Tell of a task whose server does not answer; once, though it is tried again and again."""
    task = context["ti"]
    send(
        f"Shoal: {task.dag_id}.{task.task_id} waits, and is tried again for a day",
        reason,
        f"run: {task.run_id}",
        "what to do: start what it waits for; python -m serving status --shop <shop> says since when",
    )


def day_is_late(shop: str, reason: str) -> None:
    """Tell of a scheduled day whose files are not all there."""
    send(
        f"Shoal: {shop} is late",
        reason,
        f"what to do: python -m serving status --shop {shop} names files that wait, are held or refused",
    )


def send(*lines: str) -> None:
    """Run the command with the lines on its standard input; without a command, do nothing."""
    try:
        command = settings.alert_command()
        if not command:
            return
        done = subprocess.run(
            command,
            input="\n".join(lines) + "\n",
            capture_output=True,
            text=True,
            timeout=TIMEOUT_SECONDS,
            check=False,
        )
    except (OSError, ValueError, subprocess.TimeoutExpired) as error:
        LOG.warning("SHOAL_ALERT_COMMAND could not be run: %s", error)
        return
    if done.returncode:
        LOG.warning("SHOAL_ALERT_COMMAND ended with %s: %s", done.returncode, done.stderr.strip()[-500:])
