"""The tables of the report as data: which query, which columns, in which words.

What lives here: one row per table. What does not: running the queries (``model``) and drawing them.
Every query reads the reconciliation and mart models only.
"""

from __future__ import annotations

from ps_qb_pipeline.reports.payout_sections import MONEY_BETWEEN
from ps_qb_pipeline.reports.profit_sections import PROFIT
from ps_qb_pipeline.reports.section import Section, money
from ps_qb_pipeline.reports.table import (
    ACTION,
    ACTUAL,
    CODE,
    CURRENCY,
    DOCUMENT,
    EXPECTED,
    HAPPENED,
    MONTH,
    ORDER,
    OWNER,
    PERCENT,
    REFERENCE,
    SEVERITY,
    TAX_CODE,
    Column,
)

TIE_OUT = Section(
    "tie_out",
    "Tie-out",
    "From the shop's money, step by step, to the money in QuickBooks. What no step "
    "explains must be 0.00; anything else is a mistake of this program.",
    """select currency, measure, shop, before_go_live, not_postable, held, restated, expected, missing,
        differences, extras, actual, difference, explained, unclassified
    from recon.tie_out
    order by currency <> getvariable('home_currency'), currency,
        list_position(['sales', 'refunds', 'payments', 'tax'], measure)""",
    (
        CURRENCY,
        Column("measure", "Measure"),
        money("shop", "In the shop"),
        money("before_go_live", "Before the start"),
        money("not_postable", "Not to be booked"),
        money("held", "Held back"),
        money("restated", "Booked at another amount"),
        money("expected", "Expected in QuickBooks"),
        money("missing", "Missing there"),
        money("differences", "Differences"),
        money("extras", "Surplus there"),
        money("actual", "In QuickBooks"),
        money("difference", "Shop less QuickBooks"),
        money("explained", "Explained"),
        money("unclassified", "Unexplained"),
    ),
)

OPEN = Section(
    "open_difference",
    "Open difference",
    "The money in unresolved exceptions. A surplus never cancels a lack.",
    """select currency, exceptions, open_difference, held, blocking from recon.open_difference
    order by currency <> getvariable('home_currency'), currency""",
    (
        CURRENCY,
        Column("exceptions", "Exceptions", "integer"),
        money("open_difference", "Open difference"),
        money("held", "Of it held back"),
        money("blocking", "Of it blocking the close"),
    ),
)

EXCEPTIONS_BY_CODE = Section(
    "exceptions_by_code",
    "Exceptions by cause",
    "What went wrong, how often, for how much money, whose task it is and what to do.",
    """select e.code, any_value(c.meaning) as meaning, any_value(e.severity) as severity,
        any_value(e.owner) as owner, count(*) as count, e.currency, sum(e.amount) as amount,
        max(e.age_days) as oldest, any_value(e.action) as action
    from recon.exceptions as e left join recon.codes as c using (code)
    group by e.code, e.currency
    order by any_value(e.severity),
        sum(sum(if(e.currency = getvariable('home_currency'), e.amount, 0))) over (partition by e.code) desc,
        e.code, e.currency <> getvariable('home_currency'), e.currency""",
    (
        CODE,
        Column("meaning", "What happened"),
        SEVERITY,
        OWNER,
        Column("count", "Count", "integer"),
        CURRENCY,
        money("amount", "Amount"),
        Column("oldest", "Oldest, days", "integer"),
        ACTION,
    ),
)

AGEING = Section(
    "ageing",
    "Ageing of exceptions",
    "Days since the shop's event, by who has to act.",
    """select owner, age_bucket, currency, count(*) as count, sum(amount) as amount,
        count(*) filter (where due_on < event_date + cast(age_days as integer)) as overdue
    from recon.exceptions
    group by owner, age_bucket, currency
    order by owner, list_position(['0-1', '2-3', '4-7', '8-14', '15-30', '31-60', '60+'], age_bucket), currency""",
    (
        OWNER,
        Column("age_bucket", "Age, days"),
        CURRENCY,
        Column("count", "Count", "integer"),
        money("amount", "Amount"),
        Column("overdue", "Past their time", "integer"),
    ),
)

EXCEPTIONS = Section(
    "exceptions",
    "Exceptions",
    "Every unresolved exception.",
    """select code, severity, owner, currency, amount, age_days, age_bucket, event_date, due_on, order_id, reference,
        doc_number, books_entity, books_id, expected, actual, message, action, id
    from recon.exceptions
    order by severity, amount desc, code, order_id, id""",
    (
        CODE,
        SEVERITY,
        OWNER,
        CURRENCY,
        money("amount", "Amount", summed=True),
        Column("age_days", "Age, days", "integer"),
        Column("age_bucket", "Age"),
        Column("event_date", "Date", "date"),
        Column("due_on", "Due on", "date"),
        ORDER,
        REFERENCE,
        DOCUMENT,
        Column("books_entity", "QuickBooks type"),
        Column("books_id", "QuickBooks id"),
        EXPECTED,
        ACTUAL,
        HAPPENED,
        ACTION,
        Column("id", "Id"),
    ),
)

DUPLICATES = Section(
    "duplicates",
    "Duplicates, orphans and entries by hand",
    "Documents in QuickBooks without an order of their own.",
    """select code, books_entity, books_id, doc_number, currency, amount, event_date, order_id, action
    from recon.exceptions where side = 'books' order by code, amount desc, books_id""",
    (
        CODE,
        Column("books_entity", "QuickBooks type"),
        Column("books_id", "QuickBooks id"),
        DOCUMENT,
        CURRENCY,
        money("amount", "Amount"),
        Column("event_date", "Date", "date"),
        ORDER,
        ACTION,
    ),
)

TWINS = Section(
    "twins",
    "Twins in the shop",
    "Orders of one customer within an hour over the same amount: perhaps made twice by mistake.",
    """select order_id, twin_order_id, reference, id_customer, currency, amount, minutes_apart
    from recon.twins order by order_id""",
    (
        ORDER,
        Column("twin_order_id", "Earlier order", "id"),
        REFERENCE,
        Column("id_customer", "Customer id", "id"),
        CURRENCY,
        money("amount", "Amount of each"),
        Column("minutes_apart", "Minutes apart", "integer"),
    ),
)

ADJUSTMENTS = Section(
    "adjustments",
    "Adjustments proposed",
    "The journal that would set the books right where nobody repairs the documents themselves, and the deferral of what "
    "was sold and not shipped. Debits equal credits; nothing of it was posted.",
    """select code, order_id, doc_number, day, currency, account, debit, credit from recon.adjustments
    order by code, about, line_no""",
    (
        Column("code", "Because of"),
        ORDER,
        DOCUMENT,
        Column("day", "Date", "date"),
        CURRENCY,
        Column("account", "Account"),
        money("debit", "Debit", summed=True),
        money("credit", "Credit", summed=True),
    ),
)

NUMBERING = Section(
    "numbering",
    "Invoice and slip numbers",
    "Gaps and repeats. A gap may be a deleted invoice, or one from before the orders that were read.",
    """select kind, what, first_number, last_number, count from recon.numbering
    order by kind desc, what, first_number""",
    (
        Column("kind", "Number of"),
        Column("what", "What"),
        Column("first_number", "From", "id"),
        Column("last_number", "To", "id"),
        Column("count", "Count", "integer"),
    ),
)

LEDGER = Section(
    "ledger_tie_out",
    "Period tie-out to QuickBooks' own reports",
    "Per account, in home currency and its natural direction: what our documents should have posted, what the general "
    "ledger holds of them and of others, and the same account in profit and loss and trial balance. Months whose "
    "reports were fetched.",
    """select month, account, expected, ours, difference, others, ledger_total, profit_and_loss, report_difference,
        trial_balance
    from recon.ledger_tie_out order by month, account""",
    (
        MONTH,
        Column("account", "Account"),
        money("expected", "Expected"),
        money("ours", "Ours in the ledger"),
        money("difference", "Difference"),
        money("others", "Of others"),
        money("ledger_total", "Ledger"),
        money("profit_and_loss", "Profit and loss"),
        money("report_difference", "P&L less ledger"),
        money("trial_balance", "Trial balance"),
    ),
)

CUTOFF = Section(
    "cutoff",
    "Cut-off at the end of the period",
    "Sold and not shipped, or shipped and not paid, on the last day of the period: consider deferring the income.",
    """select period_end, what, order_id, reference, doc_number, currency, txn_date, delivery_date, net, total, paid
    from recon.cutoff order by what, order_id""",
    (
        Column("period_end", "Period ends", "date"),
        Column("what", "What"),
        ORDER,
        REFERENCE,
        DOCUMENT,
        CURRENCY,
        Column("txn_date", "Sold", "date"),
        Column("delivery_date", "Shipped", "date"),
        money("net", "Net"),
        money("total", "Total"),
        money("paid", "Paid"),
    ),
)

BRIDGE = Section(
    "income_bridge",
    "Bridge from profit to QuickBooks income",
    "Per month in home currency. What no step explains must be 0.00.",
    """select month, report_income, missing, differences, rounding, surplus, others, books_income, unallocated
    from marts.income_bridge order by month""",
    (
        MONTH,
        money("report_income", "Income of this report", summed=True),
        money("missing", "Not in QuickBooks", summed=True),
        money("differences", "Differences", summed=True),
        money("rounding", "Exchange cents", summed=True),
        money("surplus", "Surplus of ours", summed=True),
        money("others", "Made by others", summed=True),
        money("books_income", "Income in QuickBooks", summed=True),
        money("unallocated", "Unallocated", summed=True),
    ),
)

CLASSES = Section(
    "classes",
    "Every object by class",
    "Each order, payment and credit slip of the shop and each document of the books is in exactly one class.",
    """select side, object_type, class, currency, sum(objects) as count, sum(amount) as amount
    from recon.classes group by all order by side desc, object_type, class, currency""",
    (
        Column("side", "Side"),
        Column("object_type", "Object"),
        Column("class", "Class"),
        CURRENCY,
        Column("count", "Count", "integer"),
        money("amount", "Amount"),
    ),
)

CONSERVATION = Section(
    "conservation",
    "Proof that nothing is lost",
    "Rows read against rows classed, in number and in money.",
    """select side, object_type, objects, classed_objects, amount, classed_amount, remainder, holds
    from recon.conservation order by side desc, object_type""",
    (
        Column("side", "Side"),
        Column("object_type", "Object"),
        Column("objects", "Rows", "integer"),
        Column("classed_objects", "Classed", "integer"),
        money("amount", "Money of the rows"),
        money("classed_amount", "Money of the classes"),
        money("remainder", "Remainder"),
        Column("holds", "Holds", "flag"),
    ),
)

ACCOUNTS = Section(
    "accounts",
    "Clearing and bank accounts rolled forward",
    "Per account and month: opening, what our documents brought and took, what providers kept and paid out, what "
    "others entered, closing; beside what "
    "our documents should have moved, and the balance that QuickBooks shows now.",
    """select account, currency, month, opening, received, returned, fees, payouts, others, closing, expected_movement, difference,
        books_balance
    from recon.accounts_rolled order by account, currency, month""",
    (
        Column("account", "Account"),
        CURRENCY,
        MONTH,
        money("opening", "Opening"),
        money("received", "Received"),
        money("returned", "Refunded"),
        money("fees", "Fees"),
        money("payouts", "Paid out"),
        money("others", "Entries of others"),
        money("closing", "Closing"),
        money("expected_movement", "Expected movement"),
        money("difference", "Difference"),
        money("books_balance", "Balance in QuickBooks"),
    ),
)

TAX = Section(
    "tax",
    "Tax by month, country and rate",
    "Taxable amounts and tax as meant, and as the same documents hold them in QuickBooks; refunds taken off.",
    """select currency, month, country, code, rate, documents, expected_base, actual_base, expected_tax, actual_tax,
        difference
    from recon.tax_tie_out order by currency, month, country, rate desc, code""",
    (
        CURRENCY,
        MONTH,
        Column("country", "Country"),
        TAX_CODE,
        PERCENT,
        Column("documents", "Documents", "integer"),
        money("expected_base", "Base as meant"),
        money("actual_base", "Base in QuickBooks"),
        money("expected_tax", "Tax as meant"),
        money("actual_tax", "Tax in QuickBooks"),
        money("difference", "Difference"),
    ),
)

NOTES = Section(
    "notes_by_code",
    "Notes",
    "Worth a look; the books hold what the shop meant.",
    """select n.code, any_value(c.meaning) as meaning, any_value(n.severity) as severity, count(*) as count,
        n.currency, sum(n.amount) as amount
    from recon.notes as n left join recon.codes as c using (code)
    group by n.code, n.currency order by any_value(n.severity) desc, n.code, n.currency""",
    (
        CODE,
        Column("meaning", "What it says"),
        SEVERITY,
        Column("count", "Count", "integer"),
        CURRENCY,
        money("amount", "Money concerned"),
    ),
)

NOTE_LIST = Section(
    "notes",
    "List of notes",
    "Every note with its order.",
    """select code, severity, order_id, reference, source_type, source_id, currency, amount, event_date, message
    from recon.notes order by code, order_id, source_id""",
    (
        CODE,
        SEVERITY,
        ORDER,
        REFERENCE,
        Column("source_type", "Source"),
        Column("source_id", "Source id", "id"),
        CURRENCY,
        money("amount", "Money concerned"),
        Column("event_date", "Date", "date"),
        Column("message", "What was found"),
    ),
)

DOCUMENTS = Section(
    "documents",
    "Line detail: every document",
    "What should be in QuickBooks beside what is.",
    """select pairs.id_shop, pairs.order_id, documents.reference, pairs.type, documents.doc_number, pairs.txn_date,
        documents.customer_name, pairs.currency, documents.exchange_rate, pairs.total - pairs.total_tax as net,
        pairs.total_tax, pairs.total, documents.deposit_to,
        if(pairs.live, pairs.books_entity, '') as books_entity, if(pairs.live, pairs.books_id, '') as books_id,
        if(pairs.live, books.txn_date, null) as books_txn_date,
        if(pairs.live, pairs.books_total, null) as books_total, if(pairs.live, pairs.books_tax, null) as books_tax,
        if(pairs.live, pairs.books_total - pairs.total, -pairs.total) as difference, pairs.class, pairs.intent_state
    from recon.pairs as pairs
    inner join ledger.documents as documents using (key)
    left join staging.quickbooks_documents as books
        on pairs.books_entity = books.entity and pairs.books_id = books.id
    order by pairs.txn_date, pairs.order_id, pairs.key""",
    (
        Column("id_shop", "Shop", "id"),
        ORDER,
        REFERENCE,
        Column("type", "Type"),
        DOCUMENT,
        Column("txn_date", "Date", "date"),
        Column("customer_name", "Customer"),
        CURRENCY,
        Column("exchange_rate", "Rate", "rate"),
        money("net", "Net", summed=True),
        money("total_tax", "Tax", summed=True),
        money("total", "Total", summed=True),
        Column("deposit_to", "Account"),
        Column("books_entity", "QuickBooks type"),
        Column("books_id", "QuickBooks id"),
        Column("books_txn_date", "QuickBooks date", "date"),
        money("books_total", "QuickBooks total", summed=True),
        money("books_tax", "QuickBooks tax", summed=True),
        money("difference", "Difference", summed=True),
        Column("class", "Class"),
        Column("intent_state", "State of the posting"),
    ),
)

PERIODS = Section(
    "periods",
    "Sales by day",
    "Gross sales of each day that should be in QuickBooks, and what is there.",
    """select txn_date, currency, count(*) as documents, sum(total) as expected,
        coalesce(sum(books_total) filter (where live and books_currency = currency), 0) as actual
    from recon.pairs where measure = 'sales' and not held
    group by txn_date, currency order by txn_date, currency""",
    (
        Column("txn_date", "Date", "date"),
        CURRENCY,
        Column("documents", "Documents", "integer"),
        money("expected", "Expected"),
        money("actual", "In QuickBooks"),
    ),
)

SECTIONS: tuple[Section, ...] = (
    TIE_OUT,
    OPEN,
    EXCEPTIONS_BY_CODE,
    AGEING,
    EXCEPTIONS,
    DUPLICATES,
    TWINS,
    ACCOUNTS,
    *MONEY_BETWEEN,
    TAX,
    LEDGER,
    BRIDGE,
    CUTOFF,
    ADJUSTMENTS,
    NUMBERING,
    CLASSES,
    CONSERVATION,
    *PROFIT,
    NOTES,
    NOTE_LIST,
    PERIODS,
    DOCUMENTS,
)
"""Every table of the report in reading order."""
