"""The style of the HTML report."""

STYLE = """
:root { --ink: #1c2024; --paper: #fff; --soft: #f3f5f7; --line: #d5dae0; --dim: #59636e; --removed: #b3261e; --added: #116329;
  --warn: #8a4600; }
@media (prefers-color-scheme: dark) { :root { --ink: #e3e6ea; --paper: #14171a; --soft: #1e2328; --line: #363d45; --dim: #9aa5b1;
  --removed: #ff9a92; --added: #6fd68a; --warn: #ffb86b; } }
* { box-sizing: border-box; }
body { margin: 0 auto; max-width: 72rem; padding: 1rem; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, sans-serif; overflow-wrap: anywhere; }
h1 { font-size: 1.35rem; margin: .25rem 0 .75rem; border-left: .3rem solid var(--removed); padding-left: .75rem; }
h1.same { border-color: var(--added); }
h2 { font-size: 1.1rem; margin: 0 0 .5rem; }
h2.platform { margin-top: 2rem; }
h3 { font-size: 1rem; margin: 1rem 0 .25rem; }
small, .note, .arrow { color: var(--dim); font-weight: normal; }
section { border: 1px solid var(--line); border-radius: .5rem; padding: .75rem 1rem; margin: 1rem 0; }
section.capabilities { border: 2px solid var(--warn); }
section p { margin: 0 0 .5rem; color: var(--dim); }
dl.inputs, ul.sides { margin: 0 0 .5rem; padding: 0; list-style: none; }
dd { margin: 0 0 .25rem 1rem; color: var(--dim); }
ul.sides { font-size: .85rem; color: var(--dim); }
code, pre, .removed, .added { font-family: ui-monospace, monospace; font-size: .85rem; }
.removed { color: var(--removed); }
.added { color: var(--added); }
pre { background: var(--soft); margin: .35rem 0 0; padding: .5rem .75rem; border-radius: .35rem; overflow-x: auto; overflow-wrap: normal; }
pre span { font-size: inherit; }
table { width: 100%; border-collapse: collapse; table-layout: fixed; }
th, td { text-align: left; vertical-align: top; padding: .35rem .5rem .35rem 0; border-top: 1px solid var(--line); font-weight: normal; }
th { width: 38%; }
em { font-style: normal; color: var(--dim); }
summary { cursor: pointer; color: var(--dim); }
@media (max-width: 45rem) {
  table, tbody, tr, th, td { display: block; width: 100%; }
  th { padding-bottom: 0; }
  td { border-top: 0; }
}
@media print { details > * { display: block; } }
"""
"""A style sheet for light and dark screens, phones and paper."""
