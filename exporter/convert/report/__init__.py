"""What a conversion cost, explained: report.json for programs, report.html for people."""

from exporter.convert.report.document import report_document, search_document
from exporter.convert.report.files import check_folder, write_report
from exporter.convert.report.judgement import Judgement

__all__ = ["Judgement", "check_folder", "report_document", "search_document", "write_report"]
