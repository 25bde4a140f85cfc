"""The QuickBooks entities that are mirrored, as one data table.

What lives here: for each entity its landing table, its typed columns with the place of each value
in the JSON, and what the API offers for it (change data capture, inactive rows). What does not:
fetching (``mirror``) and the SQL that reads the tables (``dbt_style_sql/staging/quickbooks``).

Column types are those of the landing tables: ``text``, ``int``, ``decimal``, ``bool``, ``date``,
``json``, ``timestamptz`` (an aware moment, in UTC), and the kinds that landing takes apart:
``document_lines``, ``tax_lines`` and ``machine_line``. Every table also has ``id`` (text, QuickBooks'
own Id) and the columns that landing itself adds.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import ROUND_HALF_UP, Decimal, InvalidOperation
from typing import Any, NamedTuple


class Column(NamedTuple):
    """One landed column: its type and the dotted place of its value in the entity's JSON."""

    type: str
    path: str


@dataclass(frozen=True, slots=True)
class Entity:
    """One mirrored entity.

    ``cdc`` says whether change data capture reports it; ``lists_inactive`` whether a query hides its
    inactive rows unless asked; ``keyed_by`` which field is its identity (``ExchangeRate`` has no Id);
    ``queryable`` is false for what is read by other calls only.
    """

    name: str
    table: str
    columns: Mapping[str, Column]
    cdc: bool = True
    lists_inactive: bool = False
    queryable: bool = True
    keyed_by: tuple[str, ...] = ("Id",)

    @property
    def types(self) -> dict[str, str]:
        """Column name to type, as landing wants it."""
        return {name: column.type for name, column in self.columns.items()}

    def identity(self, row: Mapping[str, Any]) -> str:
        """The text under which the row is kept: its Id, or the joined values that stand for one."""
        return "|".join(str(row.get(field, "")) for field in self.keyed_by)

    def values(self, row: Mapping[str, Any]) -> dict[str, Any]:
        """The row's typed columns; what is absent or cannot be read as its type is None."""
        return {name: typed(dig(row, column.path), column.type) for name, column in self.columns.items()}


def dig(row: Mapping[str, Any], path: str) -> Any:
    """The value at a dotted path, or None where the path ends early."""
    value: Any = row
    for part in path.split("."):
        if not isinstance(value, Mapping):
            return None
        value = value.get(part)
    return value


def typed(value: Any, kind: str) -> Any:
    """A JSON value as the Python value of a column type; None where it cannot be read as one."""
    if value is None or value == "":
        return None
    try:
        return _READERS[kind](value)
    except (ValueError, InvalidOperation, TypeError):
        return None


def _bool(value: Any) -> bool:
    return value if isinstance(value, bool) else str(value).lower() == "true"


def _decimal(value: Any) -> Decimal:
    number = Decimal(str(value))
    if not number.is_finite():
        raise ValueError(f"{value} is not an amount")
    # The landing tables keep six decimals; the payload beside them keeps them all.
    exponent = number.as_tuple().exponent
    long = isinstance(exponent, int) and exponent < -_DECIMALS
    return number.quantize(Decimal(1).scaleb(-_DECIMALS), ROUND_HALF_UP) if long else number


_DECIMALS = 6
_SHORT_OFFSET = re.compile(r"([+-]\d\d)(\d\d)$")


def _moment(value: Any) -> datetime:
    moment = datetime.fromisoformat(_SHORT_OFFSET.sub(r"\1:\2", str(value)))
    return moment.astimezone(UTC) if moment.tzinfo else moment.replace(tzinfo=UTC)


_READERS: dict[str, Any] = {
    "text": str,
    "int": int,
    "decimal": _decimal,
    "bool": _bool,
    "date": lambda value: date.fromisoformat(str(value)[:10]),
    "timestamptz": _moment,
    "json": lambda value: value if isinstance(value, (dict, list)) else json.loads(value),
    "document_lines": lambda value: value if isinstance(value, list) else None,
    "tax_lines": lambda value: value if isinstance(value, list) else None,
    "machine_line": str,
}


def _columns(text: str) -> dict[str, Column]:
    rows = (line.split() for line in text.splitlines() if line.strip())
    return {name: Column(kind, path) for name, kind, path in rows}


_STAMPS = """
    sync_token          text     SyncToken
    created_at          timestamptz  MetaData.CreateTime
    updated_at          timestamptz  MetaData.LastUpdatedTime
"""

_TRANSACTION = (
    _STAMPS
    + """
    doc_number          text     DocNumber
    txn_date            date     TxnDate
    currency            text     CurrencyRef.value
    exchange_rate       decimal  ExchangeRate
    department_id       text     DepartmentRef.value
    department_name     text     DepartmentRef.name
    private_note        text     PrivateNote
    linked_txn          json     LinkedTxn
    origin              machine_line    PrivateNote
    lines               document_lines  Line
"""
)

_SALE = (
    _TRANSACTION
    + """
    customer_id         text     CustomerRef.value
    customer_name       text     CustomerRef.name
    customer_memo       text     CustomerMemo.value
    due_date            date     DueDate
    global_tax          text     GlobalTaxCalculation
    total               decimal  TotalAmt
    home_total          decimal  HomeTotalAmt
    total_tax           decimal  TxnTaxDetail.TotalTax
    txn_tax_code_id     text     TxnTaxDetail.TxnTaxCodeRef.value
    tax_lines           tax_lines  TxnTaxDetail.TaxLine
    balance             decimal  Balance
    home_balance        decimal  HomeBalance
    class_id            text     ClassRef.value
    payment_method_id   text     PaymentMethodRef.value
    payment_ref_num     text     PaymentRefNum
    deposit_to_id       text     DepositToAccountRef.value
    deposit_to_name     text     DepositToAccountRef.name
    bill_country        text     BillAddr.Country
    ship_country        text     ShipAddr.Country
"""
)

_BOUGHT = (
    _TRANSACTION
    + """
    global_tax   text       GlobalTaxCalculation
    total        decimal    TotalAmt
    total_tax    decimal    TxnTaxDetail.TotalTax
    tax_lines    tax_lines  TxnTaxDetail.TaxLine
    vendor_id    text       VendorRef.value
    vendor_name  text       VendorRef.name
"""
)

_NAME = (
    _STAMPS
    + """
    name                text     Name
    active              bool     Active
"""
)

_TREE = (
    _NAME
    + """
    fully_qualified_name text    FullyQualifiedName
    parent_id           text     ParentRef.value
"""
)

_PARTY = (
    _STAMPS
    + """
    display_name        text     DisplayName
    active              bool     Active
    given_name          text     GivenName
    family_name         text     FamilyName
    company_name        text     CompanyName
    email               text     PrimaryEmailAddr.Address
    phone               text     PrimaryPhone.FreeFormNumber
    currency            text     CurrencyRef.value
    balance             decimal  Balance
    country             text     BillAddr.Country
"""
)


def _entity(name: str, table: str, columns: str, **options: Any) -> Entity:
    return Entity(name, table, _columns(columns), **options)


ENTITIES: dict[str, Entity] = {
    entity.name: entity
    for entity in (
        _entity(
            "CompanyInfo",
            "company_info",
            _STAMPS
            + """
            company_name        text  CompanyName
            legal_name          text  LegalName
            country             text  Country
            fiscal_year_start   text  FiscalYearStartMonth
            time_zone           text  DefaultTimeZone
            languages           text  SupportedLanguages
            company_start_date  date  CompanyStartDate
            name_value          json  NameValue
            """,
            cdc=False,
        ),
        _entity(
            "Preferences",
            "preferences",
            _STAMPS
            + """
            home_currency            text  CurrencyPrefs.HomeCurrency.value
            multi_currency           bool  CurrencyPrefs.MultiCurrencyEnabled
            using_sales_tax          bool  TaxPrefs.UsingSalesTax
            tax_prefs                json  TaxPrefs
            partner_tax_enabled      bool  TaxPrefs.PartnerTaxEnabled
            custom_txn_numbers       bool  SalesFormsPrefs.CustomTxnNumbers
            allow_discount           bool  SalesFormsPrefs.AllowDiscount
            allow_shipping           bool  SalesFormsPrefs.AllowShipping
            auto_apply_credit        bool  SalesFormsPrefs.AutoApplyCredit
            book_close_date          date  AccountingInfoPrefs.BookCloseDate
            class_tracking           bool  AccountingInfoPrefs.ClassTrackingPerTxn
            class_tracking_per_line  bool  AccountingInfoPrefs.ClassTrackingPerTxnLine
            track_departments        bool  AccountingInfoPrefs.TrackDepartments
            use_account_numbers      bool  AccountingInfoPrefs.UseAccountNumbers
            first_month_of_year      text  AccountingInfoPrefs.FirstMonthOfFiscalYear
            quantity_on_hand         bool  ProductAndServicesPrefs.QuantityOnHand
            """,
            cdc=False,
        ),
        _entity(
            "Account",
            "accounts",
            _TREE
            + """
            acct_num          text     AcctNum
            classification    text     Classification
            account_type      text     AccountType
            account_sub_type  text     AccountSubType
            currency          text     CurrencyRef.value
            current_balance   decimal  CurrentBalance
            sub_account       bool     SubAccount
            """,
            lists_inactive=True,
        ),
        _entity(
            "Item",
            "items",
            _TREE
            + """
            sku                 text     Sku
            type                text     Type
            description         text     Description
            unit_price          decimal  UnitPrice
            purchase_cost       decimal  PurchaseCost
            taxable             bool     Taxable
            track_qty_on_hand   bool     TrackQtyOnHand
            qty_on_hand         decimal  QtyOnHand
            inv_start_date      date     InvStartDate
            income_account_id   text     IncomeAccountRef.value
            income_account_name text     IncomeAccountRef.name
            expense_account_id  text     ExpenseAccountRef.value
            asset_account_id    text     AssetAccountRef.value
            sales_tax_code_id   text     SalesTaxCodeRef.value
            """,
            lists_inactive=True,
        ),
        _entity(
            "Customer",
            "customers",
            _PARTY
            + """
            fully_qualified_name  text  FullyQualifiedName
            parent_id             text  ParentRef.value
            job                   bool  Job
            taxable               bool  Taxable
            vat_number            text  PrimaryTaxIdentifier
            notes                 text  Notes
            """,
            lists_inactive=True,
        ),
        _entity("Vendor", "vendors", _PARTY, lists_inactive=True),
        _entity(
            "TaxCode",
            "tax_codes",
            _NAME
            + """
            description         text  Description
            taxable             bool  Taxable
            tax_group           bool  TaxGroup
            hidden              bool  Hidden
            sales_tax_rates     json  SalesTaxRateList.TaxRateDetail
            purchase_tax_rates  json  PurchaseTaxRateList.TaxRateDetail
            """,
            cdc=False,
            lists_inactive=True,
        ),
        _entity(
            "TaxRate",
            "tax_rates",
            _NAME
            + """
            description          text     Description
            rate_value           decimal  RateValue
            agency_id            text     AgencyRef.value
            special_tax_type     text     SpecialTaxType
            display_type         text     DisplayType
            effective_tax_rates  json     EffectiveTaxRate
            """,
            cdc=False,
            lists_inactive=True,
        ),
        _entity(
            "TaxAgency",
            "tax_agencies",
            _STAMPS
            + """
            display_name              text  DisplayName
            tax_registration_number   text  TaxRegistrationNumber
            tax_tracked_on_sales      bool  TaxTrackedOnSales
            tax_tracked_on_purchases  bool  TaxTrackedOnPurchases
            """,
            cdc=False,
        ),
        _entity(
            "Term",
            "terms",
            _NAME
            + """
            type              text     Type
            due_days          int      DueDays
            day_of_month_due  int      DayOfMonthDue
            discount_percent  decimal  DiscountPercent
            """,
            lists_inactive=True,
        ),
        _entity("PaymentMethod", "payment_methods", _NAME + "type text Type", lists_inactive=True),
        _entity("Class", "classes", _TREE, lists_inactive=True),
        _entity("Department", "departments", _TREE, lists_inactive=True),
        _entity(
            "CompanyCurrency",
            "company_currencies",
            _NAME + "code text Code",
            lists_inactive=True,
        ),
        _entity(
            "ExchangeRate",
            "exchange_rates",
            """
            source_currency  text     SourceCurrencyCode
            target_currency  text     TargetCurrencyCode
            rate             decimal  Rate
            as_of_date       date     AsOfDate
            updated_at       timestamptz  MetaData.LastUpdatedTime
            """,
            cdc=False,
            queryable=False,
            keyed_by=("SourceCurrencyCode", "TargetCurrencyCode", "AsOfDate"),
        ),
        _entity("SalesReceipt", "sales_receipts", _SALE),
        _entity("Invoice", "invoices", _SALE + "deposit decimal Deposit"),
        _entity(
            "Payment",
            "payments",
            _TRANSACTION
            + """
            customer_id        text     CustomerRef.value
            customer_name      text     CustomerRef.name
            total              decimal  TotalAmt
            unapplied          decimal  UnappliedAmt
            payment_method_id  text     PaymentMethodRef.value
            payment_ref_num    text     PaymentRefNum
            deposit_to_id      text     DepositToAccountRef.value
            deposit_to_name    text     DepositToAccountRef.name
            """,
        ),
        _entity("RefundReceipt", "refund_receipts", _SALE),
        _entity("CreditMemo", "credit_memos", _SALE + "remaining_credit decimal RemainingCredit"),
        _entity("Estimate", "estimates", _SALE + "txn_status text TxnStatus"),
        _entity(
            "Deposit",
            "deposits",
            _TRANSACTION
            + """
            global_tax       text     GlobalTaxCalculation
            total            decimal  TotalAmt
            home_total       decimal  HomeTotalAmt
            deposit_to_id    text     DepositToAccountRef.value
            deposit_to_name  text     DepositToAccountRef.name
            """,
        ),
        _entity(
            "Transfer",
            "transfers",
            _TRANSACTION
            + """
            amount             decimal  Amount
            from_account_id    text     FromAccountRef.value
            from_account_name  text     FromAccountRef.name
            to_account_id      text     ToAccountRef.value
            to_account_name    text     ToAccountRef.name
            """,
        ),
        _entity(
            "Purchase",
            "purchases",
            _TRANSACTION
            + """
            global_tax         text     GlobalTaxCalculation
            total              decimal  TotalAmt
            total_tax          decimal  TxnTaxDetail.TotalTax
            tax_lines          tax_lines  TxnTaxDetail.TaxLine
            account_id         text     AccountRef.value
            account_name       text     AccountRef.name
            payment_type       text     PaymentType
            payment_method_id  text     PaymentMethodRef.value
            entity_id          text     EntityRef.value
            entity_name        text     EntityRef.name
            credit             bool     Credit
            """,
        ),
        _entity("Bill", "bills", _BOUGHT),
        _entity("VendorCredit", "vendor_credits", _BOUGHT),
        _entity(
            "BillPayment",
            "bill_payments",
            _TRANSACTION
            + """
            total            decimal  TotalAmt
            vendor_id        text     VendorRef.value
            vendor_name      text     VendorRef.name
            pay_type         text     PayType
            bank_account_id  text     CheckPayment.BankAccountRef.value
            card_account_id  text     CreditCardPayment.CCAccountRef.value
            """,
        ),
        _entity(
            "JournalEntry",
            "journal_entries",
            _TRANSACTION
            + """
            adjustment  bool     Adjustment
            global_tax  text     GlobalTaxCalculation
            total       decimal  TotalAmt
            home_total  decimal  HomeTotalAmt
            """,
        ),
    )
}
"""Every mirrored entity by its QuickBooks name, name lists before transactions."""

TRANSACTIONS = tuple(name for name, entity in ENTITIES.items() if "txn_date" in entity.columns)
"""The entities that carry money, in table order."""

CDC_ENTITIES = tuple(name for name, entity in ENTITIES.items() if entity.cdc)
"""The entities that change data capture reports."""
