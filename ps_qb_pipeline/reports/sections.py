"""The tables of the report as data: which query, which columns, in which words.

What lives here: one row per table. What does not: running the queries (``model``) and drawing them.
Every query reads the reconciliation and mart models only.
"""

from __future__ import annotations

from dataclasses import dataclass

from ps_qb_pipeline.reports.table import Column


@dataclass(frozen=True, slots=True)
class Section:
    """One table: its query gives exactly its columns, in their order."""

    name: str
    title: str
    intro: str
    sql: str
    columns: tuple[Column, ...]


def _money(name: str, title: str, *, summed: bool = False) -> Column:
    return Column(name, title, "money", summed)


_PROFIT = (
    Column("orders", "Orders", "integer"),
    Column("units", "Units", "quantity", summed=True),
    _money("gross_sales", "Gross sales", summed=True),
    _money("discounts", "Discounts", summed=True),
    _money("refunds", "Refunds", summed=True),
    _money("revenue", "Net revenue", summed=True),
    _money("covered_revenue", "Of it, cost known", summed=True),
    _money("cogs", "Cost of goods", summed=True),
    _money("gross_margin", "Gross margin", summed=True),
    Column("margin_rate", "Margin", "percent"),
    Column("coverage", "Cost known for", "percent"),
    _money("delivery_income", "Delivery income", summed=True),
    _money("income", "Total income", summed=True),
)
_PROFIT_SQL = """orders, units, gross_sales, discounts, refunds, revenue, covered_revenue, cogs, gross_margin,
    round(gross_margin / nullif(covered_revenue, 0), 4) as margin_rate,
    round(covered_revenue / nullif(revenue, 0), 4) as coverage,
    delivery_income, income"""


def _profit(name: str, title: str, intro: str, keys: str, order: str, *columns: Column) -> Section:
    sql = f"select {keys}, {_PROFIT_SQL} from marts.{name} order by {order}"  # noqa: S608 - our own words
    return Section(name, title, intro, sql, (*columns, *_PROFIT))


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
        Column("currency", "Currency"),
        Column("measure", "Measure"),
        _money("shop", "In the shop"),
        _money("before_go_live", "Before the start"),
        _money("not_postable", "Not to be booked"),
        _money("held", "Held back"),
        _money("restated", "Booked at another amount"),
        _money("expected", "Expected in QuickBooks"),
        _money("missing", "Missing there"),
        _money("differences", "Differences"),
        _money("extras", "Surplus there"),
        _money("actual", "In QuickBooks"),
        _money("difference", "Shop less QuickBooks"),
        _money("explained", "Explained"),
        _money("unclassified", "Unexplained"),
    ),
)

OPEN = Section(
    "open_difference",
    "Open difference",
    "The money in unresolved exceptions. A surplus never cancels a lack.",
    """select currency, exceptions, open_difference, held, blocking from recon.open_difference
    order by currency <> getvariable('home_currency'), currency""",
    (
        Column("currency", "Currency"),
        Column("exceptions", "Exceptions", "integer"),
        _money("open_difference", "Open difference"),
        _money("held", "Of it held back"),
        _money("blocking", "Of it blocking the close"),
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
        Column("code", "Code"),
        Column("meaning", "What happened"),
        Column("severity", "Severity", "severity"),
        Column("owner", "Owner", "owner"),
        Column("count", "Count", "integer"),
        Column("currency", "Currency"),
        _money("amount", "Amount"),
        Column("oldest", "Oldest, days", "integer"),
        Column("action", "What to do"),
    ),
)

AGEING = Section(
    "ageing",
    "Ageing of exceptions",
    "Days since the shop's event, by who has to act.",
    """select owner, age_bucket, currency, count(*) as count, sum(amount) as amount,
        count(*) filter (where age_days > if(severity = 'B', 2, 10)) as overdue
    from recon.exceptions
    group by owner, age_bucket, currency
    order by owner, list_position(['0-1', '2-3', '4-7', '8-14', '15-30', '31-60', '60+'], age_bucket), currency""",
    (
        Column("owner", "Owner", "owner"),
        Column("age_bucket", "Age, days"),
        Column("currency", "Currency"),
        Column("count", "Count", "integer"),
        _money("amount", "Amount"),
        Column("overdue", "Past their time", "integer"),
    ),
)

EXCEPTIONS = Section(
    "exceptions",
    "Exceptions",
    "Every unresolved exception.",
    """select code, severity, owner, currency, amount, age_days, age_bucket, event_date, order_id, reference,
        doc_number, books_entity, books_id, expected, actual, message, action, id
    from recon.exceptions
    order by severity, amount desc, code, order_id, id""",
    (
        Column("code", "Code"),
        Column("severity", "Severity", "severity"),
        Column("owner", "Owner", "owner"),
        Column("currency", "Currency"),
        _money("amount", "Amount", summed=True),
        Column("age_days", "Age, days", "integer"),
        Column("age_bucket", "Age"),
        Column("event_date", "Date", "date"),
        Column("order_id", "Order", "id"),
        Column("reference", "Reference"),
        Column("doc_number", "Document"),
        Column("books_entity", "QuickBooks type"),
        Column("books_id", "QuickBooks id"),
        Column("expected", "Expected"),
        Column("actual", "In QuickBooks"),
        Column("message", "What happened"),
        Column("action", "What to do"),
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
        Column("code", "Code"),
        Column("books_entity", "QuickBooks type"),
        Column("books_id", "QuickBooks id"),
        Column("doc_number", "Document"),
        Column("currency", "Currency"),
        _money("amount", "Amount"),
        Column("event_date", "Date", "date"),
        Column("order_id", "Order", "id"),
        Column("action", "What to do"),
    ),
)

TWINS = Section(
    "twins",
    "Twins in the shop",
    "Orders of one customer within an hour over the same amount: perhaps made twice by mistake.",
    """select order_id, twin_order_id, reference, id_customer, currency, amount, minutes_apart
    from recon.twins order by order_id""",
    (
        Column("order_id", "Order", "id"),
        Column("twin_order_id", "Earlier order", "id"),
        Column("reference", "Reference"),
        Column("id_customer", "Customer id", "id"),
        Column("currency", "Currency"),
        _money("amount", "Amount of each"),
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
        Column("order_id", "Order", "id"),
        Column("doc_number", "Document"),
        Column("day", "Date", "date"),
        Column("currency", "Currency"),
        Column("account", "Account"),
        _money("debit", "Debit", summed=True),
        _money("credit", "Credit", summed=True),
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
        Column("month", "Month", "month"),
        Column("account", "Account"),
        _money("expected", "Expected"),
        _money("ours", "Ours in the ledger"),
        _money("difference", "Difference"),
        _money("others", "Of others"),
        _money("ledger_total", "Ledger"),
        _money("profit_and_loss", "Profit and loss"),
        _money("report_difference", "P&L less ledger"),
        _money("trial_balance", "Trial balance"),
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
        Column("order_id", "Order", "id"),
        Column("reference", "Reference"),
        Column("doc_number", "Document"),
        Column("currency", "Currency"),
        Column("txn_date", "Sold", "date"),
        Column("delivery_date", "Shipped", "date"),
        _money("net", "Net"),
        _money("total", "Total"),
        _money("paid", "Paid"),
    ),
)

BRIDGE = Section(
    "income_bridge",
    "Bridge from profit to QuickBooks income",
    "Per month in home currency. What no step explains must be 0.00.",
    """select month, report_income, missing, differences, rounding, surplus, others, books_income, unallocated
    from marts.income_bridge order by month""",
    (
        Column("month", "Month", "month"),
        _money("report_income", "Income of this report", summed=True),
        _money("missing", "Not in QuickBooks", summed=True),
        _money("differences", "Differences", summed=True),
        _money("rounding", "Exchange cents", summed=True),
        _money("surplus", "Surplus of ours", summed=True),
        _money("others", "Made by others", summed=True),
        _money("books_income", "Income in QuickBooks", summed=True),
        _money("unallocated", "Unallocated", summed=True),
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
        Column("currency", "Currency"),
        Column("count", "Count", "integer"),
        _money("amount", "Amount"),
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
        _money("amount", "Money of the rows"),
        _money("classed_amount", "Money of the classes"),
        _money("remainder", "Remainder"),
        Column("holds", "Holds", "flag"),
    ),
)

ACCOUNTS = Section(
    "accounts",
    "Clearing and bank accounts rolled forward",
    "Per account and month: opening, what our documents brought and took, what others entered, closing; beside what "
    "our documents should have moved, and the balance that QuickBooks shows now.",
    """select account, currency, month, opening, received, returned, others, closing, expected_movement, difference,
        books_balance
    from recon.accounts_rolled order by account, currency, month""",
    (
        Column("account", "Account"),
        Column("currency", "Currency"),
        Column("month", "Month", "month"),
        _money("opening", "Opening"),
        _money("received", "Received"),
        _money("returned", "Refunded"),
        _money("others", "Entries of others"),
        _money("closing", "Closing"),
        _money("expected_movement", "Expected movement"),
        _money("difference", "Difference"),
        _money("books_balance", "Balance in QuickBooks"),
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
        Column("currency", "Currency"),
        Column("month", "Month", "month"),
        Column("country", "Country"),
        Column("code", "Tax code"),
        Column("rate", "Rate, %", "rate"),
        Column("documents", "Documents", "integer"),
        _money("expected_base", "Base as meant"),
        _money("actual_base", "Base in QuickBooks"),
        _money("expected_tax", "Tax as meant"),
        _money("actual_tax", "Tax in QuickBooks"),
        _money("difference", "Difference"),
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
        Column("code", "Code"),
        Column("meaning", "What it says"),
        Column("severity", "Severity", "severity"),
        Column("count", "Count", "integer"),
        Column("currency", "Currency"),
        _money("amount", "Money concerned"),
    ),
)

NOTE_LIST = Section(
    "notes",
    "List of notes",
    "Every note with its order.",
    """select code, severity, order_id, reference, source_type, source_id, currency, amount, event_date, message
    from recon.notes order by code, order_id, source_id""",
    (
        Column("code", "Code"),
        Column("severity", "Severity", "severity"),
        Column("order_id", "Order", "id"),
        Column("reference", "Reference"),
        Column("source_type", "Source"),
        Column("source_id", "Source id", "id"),
        Column("currency", "Currency"),
        _money("amount", "Money concerned"),
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
        Column("order_id", "Order", "id"),
        Column("reference", "Reference"),
        Column("type", "Type"),
        Column("doc_number", "Document"),
        Column("txn_date", "Date", "date"),
        Column("customer_name", "Customer"),
        Column("currency", "Currency"),
        Column("exchange_rate", "Rate", "rate"),
        _money("net", "Net", summed=True),
        _money("total_tax", "Tax", summed=True),
        _money("total", "Total", summed=True),
        Column("deposit_to", "Account"),
        Column("books_entity", "QuickBooks type"),
        Column("books_id", "QuickBooks id"),
        Column("books_txn_date", "QuickBooks date", "date"),
        _money("books_total", "QuickBooks total", summed=True),
        _money("books_tax", "QuickBooks tax", summed=True),
        _money("difference", "Difference", summed=True),
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
        Column("currency", "Currency"),
        Column("documents", "Documents", "integer"),
        _money("expected", "Expected"),
        _money("actual", "In QuickBooks"),
    ),
)

_TAIL = " Without tax, in home currency; cost and margin cover only the revenue whose cost is known."

PROFIT = (
    _profit(
        "profit_by_month", "Profit by month", "By the month of the document." + _TAIL, "month", "month",
        Column("month", "Month", "month"),
    ),
    _profit(
        "profit_by_product", "Profit by product", "By product and variant, largest revenue first." + _TAIL,
        "id_shop, sku, if(product_id = 0, '(delivery and other lines)', product_name) as product_name", "revenue desc, product_id, product_attribute_id",
        Column("id_shop", "Shop", "id"), Column("sku", "SKU"), Column("product_name", "Product"),
    ),
    _profit(
        "profit_by_customer", "Profit by customer", "Largest revenue first." + _TAIL,
        "customer_id, customer_name", "revenue desc, customer_id",
        Column("customer_id", "Customer id", "id"), Column("customer_name", "Customer"),
    ),
    _profit(
        "profit_by_country", "Profit by country", "By country of delivery." + _TAIL, "country", "revenue desc, country",
        Column("country", "Country"),
    ),
    _profit(
        "profit_by_category", "Profit by category", "By default category of the product." + _TAIL,
        "category_id", "revenue desc, category_id", Column("category_id", "Category id", "id"),
    ),
    _profit(
        "profit_by_payment_method", "Profit by payment method", "As the shop names the method." + _TAIL,
        "payment_method", "revenue desc, payment_method", Column("payment_method", "Payment method"),
    ),
    _profit(
        "profit_by_carrier", "Profit by carrier", "By the carrier of the order." + _TAIL, "carrier",
        "revenue desc, carrier", Column("carrier", "Carrier"),
    ),
    _profit(
        "profit_by_shop", "Profit by shop", "Shops of a multishop." + _TAIL, "id_shop", "id_shop",
        Column("id_shop", "Shop", "id"),
    ),
    _profit(
        "profit_by_cohort", "Profit by month of order", "Refunds stand in the month of their order." + _TAIL,
        "cohort", "cohort", Column("cohort", "Month of order", "month"),
    ),
)  # fmt: skip

SECTIONS: tuple[Section, ...] = (
    TIE_OUT,
    OPEN,
    EXCEPTIONS_BY_CODE,
    AGEING,
    EXCEPTIONS,
    DUPLICATES,
    TWINS,
    ACCOUNTS,
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
