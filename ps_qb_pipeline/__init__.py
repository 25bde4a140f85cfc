"""PrestaShop orders, payments and refunds as QuickBooks Online documents, once, and proved to the cent."""
