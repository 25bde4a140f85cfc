"""Each entity's rules, as data.

What lives here: what every entity requires, which name is unique where, what may be done to it, which
fields may be asked for in a query. What does not: fields and types (``schema``), computing (``documents``).
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any, Literal

from ps_qb_pipeline.sandbox.books import schema

Kind = Literal["names", "list", "sale", "purchase", "money", "journal", "other", "single"]

EVERYWHERE = frozenset({"Id", "SyncToken", "MetaData.CreateTime", "MetaData.LastUpdatedTime"})
TRANSACTIONS = frozenset({"DocNumber", "TxnDate", "TotalAmt", "CurrencyRef", "DepartmentRef", "ClassRef"})
NAMES = frozenset(
    [
        "DisplayName",
        "GivenName",
        "MiddleName",
        "FamilyName",
        "Suffix",
        "Title",
        "CompanyName",
        "FullyQualifiedName",
        "PrintOnCheckName",
        "Active",
        "PrimaryEmailAddr",
        "PrimaryPhone",
        "Balance",
        "CurrencyRef",
    ]
)


@dataclass(frozen=True, slots=True)
class Entity:
    """The rules of one entity.

    ``required`` holds groups of alternatives, of each of which one must be there on create; ``name`` is
    the field that must be unique within ``space``; ``filters`` are fields that queries may use besides
    those that the schema marks, ``unfiltered`` those that they may not; ``numbers`` names the sequence
    that gives document numbers; ``computed`` fields are the books' alone.
    """

    name: str
    kind: Kind
    required: tuple[tuple[str, ...], ...] = ()
    name_field: str = ""
    space: str = ""
    ids: str = ""
    filters: frozenset[str] = frozenset()
    unfiltered: frozenset[str] = frozenset()
    numbers: str = ""
    computed: frozenset[str] = frozenset()
    fixed: frozenset[str] = frozenset()
    create: bool = True
    update: bool = True
    delete: bool = False
    void: bool = False
    cdc: bool = True
    pdf: bool = False
    send: bool = False
    features: tuple[str, ...] = ()
    endpoint: str = ""
    countries: tuple[str, ...] = ()

    @property
    def is_transaction(self) -> bool:
        """Whether it has a date and may post to the ledger."""
        return self.kind in {"sale", "purchase", "money", "journal"}

    @property
    def url(self) -> str:
        """The entity's part of the URL."""
        return self.endpoint or self.name.lower()

    def filterable(self) -> frozenset[str]:
        """Return every property that a query may name in WHERE or ORDERBY."""
        return _filterable(self)


@cache
def _filterable(entity: Entity) -> frozenset[str]:
    kind = schema.type_of(entity.name)
    marked = {field.name for field in kind.fields.values() if field.filterable} if kind else set()
    more: frozenset[str] = entity.filters
    if entity.is_transaction:
        more |= TRANSACTIONS
    if entity.kind == "names":
        more |= NAMES
    if kind and "Active" in kind.fields:
        more |= {"Active"}
    known = set(kind.fields) if kind else set()
    usable = {name for name in more if name.split(".")[0] in known or entity.kind == "other"}
    return frozenset((marked | usable | EVERYWHERE) - entity.unfiltered)


def _fields(text: str) -> frozenset[str]:
    return frozenset(text.split())


SALE_FILTERS = _fields(
    "CustomerRef Balance DueDate EmailStatus PrintStatus ShipDate PaymentRefNum PaymentMethodRef DepositToAccountRef SalesTermRef"
)
SALE_COMPUTED = _fields("TotalAmt HomeTotalAmt Balance HomeBalance LinkedTxn RemainingCredit InvoiceLink")
NAME_COMPUTED = _fields(
    "FullyQualifiedName BalanceWithJobs Level V4IDPseudonym ClientCompanyId ClientEntityId OverDueBalance TotalRevenue TotalExpense"
)


def _names(name: str, **more: Any) -> Entity:
    return Entity(
        name, "names", name_field="DisplayName", space="names", ids="names", computed=NAME_COMPUTED, **more
    )


def _sale(name: str, *required: tuple[str, ...], **more: Any) -> Entity:
    return Entity(
        name,
        "sale",
        required=required,
        ids="txn",
        numbers="sales",
        filters=SALE_FILTERS,
        computed=SALE_COMPUTED,
        delete=True,
        pdf=True,
        send=True,
        **more,
    )


LINE = ("Line",)
_TABLE = (
    # The company itself.
    Entity("CompanyInfo", "single", create=False, filters=_fields("CompanyName Country"), cdc=False),
    Entity("Preferences", "single", create=False, cdc=False),
    # Lists of names.
    _names(
        "Customer",
        filters=_fields("Job ParentRef Notes Taxable IsProject CustomerTypeRef"),
        fixed=_fields("CurrencyRef"),
    ),
    _names("Vendor", filters=_fields("Vendor1099 AcctNum"), fixed=_fields("CurrencyRef")),
    _names("Employee", filters=_fields("EmployeeNumber HiredDate")),
    # Other lists.
    Entity(
        "Account",
        "list",
        required=(("Name",), ("AccountType", "AccountSubType")),
        name_field="Name",
        space="Account",
        filters=_fields(
            "Name AccountType AccountSubType Classification CurrentBalance FullyQualifiedName SubAccount ParentRef Description AcctNum CurrencyRef"
        ),
        computed=_fields(
            "FullyQualifiedName CurrentBalance CurrentBalanceWithSubAccounts Classification OnlineBankingEnabled FIName"
        ),
    ),
    Entity(
        "Item",
        "list",
        required=(("Name",),),
        name_field="Name",
        space="Item",
        filters=_fields(
            "FullyQualifiedName UnitPrice PurchaseCost QtyOnHand TrackQtyOnHand SubItem ParentRef Taxable InvStartDate "
            "IncomeAccountRef ExpenseAccountRef AssetAccountRef PurchaseDesc PrefVendorRef"
        ),
        computed=_fields("FullyQualifiedName Level"),
    ),
    Entity(
        "Class",
        "list",
        required=(("Name",),),
        name_field="Name",
        space="Class",
        filters=_fields("Name FullyQualifiedName SubClass ParentRef"),
        computed=_fields("FullyQualifiedName"),
    ),
    Entity(
        "Department",
        "list",
        required=(("Name",),),
        name_field="Name",
        space="Department",
        filters=_fields("Name FullyQualifiedName SubDepartment ParentRef"),
        computed=_fields("FullyQualifiedName"),
    ),
    Entity(
        "PaymentMethod",
        "list",
        required=(("Name",),),
        name_field="Name",
        space="PaymentMethod",
        filters=_fields("Name Type"),
    ),
    Entity(
        "Term",
        "list",
        required=(("Name",), ("DueDays", "DayOfMonthDue")),
        name_field="Name",
        space="Term",
        filters=_fields("Name Type DueDays"),
    ),
    Entity(
        "CustomerType",
        "list",
        required=(("Name",),),
        name_field="Name",
        space="CustomerType",
        filters=_fields("Name"),
        create=False,
        update=False,
    ),
    Entity("Tag", "list", required=(("Name",),), name_field="Name", space="Tag", filters=_fields("Name")),
    Entity(
        "CompanyCurrency",
        "list",
        required=(("Code",),),
        name_field="Code",
        space="CompanyCurrency",
        filters=_fields("Code Name"),
        features=("multicurrency",),
    ),
    Entity("CustomFieldDefinition", "list", create=False, update=False, filters=_fields("Name"), cdc=False),
    Entity("Currency", "list", create=False, update=False, filters=_fields("Name Code"), cdc=False),
    # Tax: made through TaxService.
    Entity(
        "TaxCode",
        "list",
        name_field="Name",
        space="TaxCode",
        create=False,
        filters=_fields("Name Description Taxable TaxGroup"),
        update=False,
        cdc=False,
    ),
    Entity(
        "TaxRate",
        "list",
        name_field="Name",
        space="TaxRate",
        create=False,
        filters=_fields("Name RateValue AgencyRef"),
        update=False,
        cdc=False,
    ),
    Entity(
        "TaxAgency",
        "list",
        required=(("DisplayName",),),
        name_field="DisplayName",
        space="TaxAgency",
        update=False,
        filters=_fields("DisplayName"),
        cdc=False,
    ),
    # Sales.
    _sale("SalesReceipt", LINE, void=True),
    _sale("Invoice", LINE, ("CustomerRef",), void=True),
    _sale("CreditMemo", LINE, ("CustomerRef",), void=True),
    _sale("RefundReceipt", LINE, ("DepositToAccountRef",), void=True),
    Entity(
        "Estimate",
        "sale",
        required=(LINE, ("CustomerRef",)),
        ids="txn",
        numbers="estimates",
        filters=SALE_FILTERS | _fields("TxnStatus ExpirationDate AcceptedDate"),
        computed=_fields("TotalAmt HomeTotalAmt"),
        delete=True,
        pdf=True,
        send=True,
    ),
    Entity(
        "Payment",
        "money",
        required=(("TotalAmt",), ("CustomerRef",)),
        ids="txn",
        filters=_fields("CustomerRef PaymentRefNum PaymentMethodRef DepositToAccountRef UnappliedAmt"),
        unfiltered=_fields("DocNumber"),
        computed=_fields("UnappliedAmt HomeTotalAmt"),
        delete=True,
        void=True,
        pdf=True,
        send=True,
    ),
    # Purchases.
    Entity(
        "Bill",
        "purchase",
        required=(LINE, ("VendorRef",)),
        ids="txn",
        filters=_fields("VendorRef Balance DueDate APAccountRef SalesTermRef"),
        computed=_fields("TotalAmt HomeTotalAmt Balance HomeBalance LinkedTxn"),
        delete=True,
    ),
    Entity(
        "VendorCredit",
        "purchase",
        required=(LINE, ("VendorRef",)),
        ids="txn",
        filters=_fields("VendorRef Balance APAccountRef"),
        computed=_fields("TotalAmt HomeTotalAmt Balance HomeBalance"),
        delete=True,
    ),
    Entity(
        "Purchase",
        "purchase",
        required=(LINE, ("AccountRef",), ("PaymentType",)),
        ids="txn",
        filters=_fields("AccountRef PaymentType EntityRef Credit PaymentMethodRef"),
        computed=_fields("TotalAmt HomeTotalAmt"),
        delete=True,
        void=True,
    ),
    Entity(
        "PurchaseOrder",
        "purchase",
        required=(LINE, ("VendorRef",)),
        ids="txn",
        numbers="orders",
        filters=_fields("VendorRef POStatus DueDate"),
        computed=_fields("TotalAmt HomeTotalAmt"),
        delete=True,
        send=True,
        pdf=True,
    ),
    Entity(
        "BillPayment",
        "money",
        required=(("TotalAmt",), ("VendorRef",), ("PayType",)),
        ids="txn",
        filters=_fields("VendorRef PayType"),
        computed=_fields("HomeTotalAmt"),
        delete=True,
        void=True,
    ),
    # Money and journals.
    Entity(
        "Deposit",
        "money",
        required=(LINE, ("DepositToAccountRef",)),
        ids="txn",
        filters=_fields("DepositToAccountRef"),
        computed=_fields("TotalAmt HomeTotalAmt"),
        delete=True,
    ),
    Entity(
        "Transfer",
        "money",
        required=(("FromAccountRef",), ("ToAccountRef",), ("Amount",)),
        ids="txn",
        filters=_fields("FromAccountRef ToAccountRef Amount"),
        delete=True,
    ),
    Entity(
        "CreditCardPaymentTxn",
        "money",
        required=(("BankAccountRef",), ("CreditCardAccountRef",), ("Amount",)),
        ids="txn",
        endpoint="creditcardpayment",
        delete=True,
    ),
    Entity(
        "JournalEntry",
        "journal",
        required=(LINE,),
        ids="txn",
        numbers="journals",
        filters=_fields("Adjustment"),
        computed=_fields("TotalAmt HomeTotalAmt"),
        delete=True,
    ),
    Entity(
        "InventoryAdjustment",
        "journal",
        required=(LINE, ("AdjustAccountRef",)),
        ids="txn",
        filters=_fields("AdjustAccountRef"),
        fixed=_fields("TxnDate"),
        delete=True,
        features=("inventory_adjustment",),
    ),
    # The rest.
    Entity(
        "TimeActivity",
        "other",
        required=(("NameOf",),),
        ids="TimeActivity",
        filters=_fields("TxnDate EmployeeRef VendorRef CustomerRef BillableStatus"),
        delete=True,
        cdc=False,
    ),
    Entity(
        "Attachable",
        "other",
        required=(("FileName", "Note"),),
        filters=_fields(
            "FileName Note Tag AttachableRef.EntityRef.Type AttachableRef.EntityRef.value Category ContentType Size"
        ),
        delete=True,
    ),
    Entity("Budget", "other", filters=_fields("Name StartDate EndDate BudgetType"), delete=True),
    Entity("RecurringTransaction", "other", filters=_fields("Type Name"), delete=True, cdc=False),
    Entity(
        "ReimburseCharge",
        "other",
        create=False,
        update=False,
        filters=_fields("CustomerRef HasBeenInvoiced"),
        cdc=False,
    ),
    Entity(
        "ExchangeRate",
        "other",
        required=(("SourceCurrencyCode",), ("Rate",)),
        filters=_fields("SourceCurrencyCode TargetCurrencyCode AsOfDate"),
        cdc=False,
        features=("multicurrency",),
    ),
    Entity(
        "JournalCode",
        "list",
        required=(("Name",),),
        name_field="Name",
        space="JournalCode",
        cdc=False,
        countries=("fr",),
    ),
)

ENTITIES: dict[str, Entity] = {entity.name: entity for entity in _TABLE}
BY_URL: dict[str, Entity] = {entity.url: entity for entity in _TABLE} | {
    entity.name.lower(): entity for entity in _TABLE
}
