"""The audit as one page of HTML that needs no network: `audit_page`.

`page` puts it together, `sections` has what the audit found, `people` what types want and whose
they are, `methods` how it was made, `markup` the pieces; page.css and page.js are put into it.
"""

from emdpo.report.page import audit_page

__all__ = ["audit_page"]
