"""report.html: one self-contained page about a run."""

from classifier_trainer.output.report.page import FILE_NAME, write_report

__all__ = ["FILE_NAME", "write_report"]
