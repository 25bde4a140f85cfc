"""A PrestaShop web service that is no PrestaShop: the same questions, the same answers, quirks included."""
