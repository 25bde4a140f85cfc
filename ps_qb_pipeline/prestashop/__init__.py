"""The shop: reading and writing a PrestaShop through its web service. Import the modules themselves."""
