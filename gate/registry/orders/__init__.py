"""备案订单: the filing workflow, from an owner's draft to a name that passes at the gates."""
