"""ControlNets and IP-Adapters in memory, whatever the family of the model."""
