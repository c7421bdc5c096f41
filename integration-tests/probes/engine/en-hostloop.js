// Asks the host without end, and never comes back out of what it hands to the host.
function attack(variant) {
  if (variant === 0) for (;;) { try { gm.asset_read("missing"); } catch {} }
  gm.node_put({ toJSON() { for (;;) {} } });
}
