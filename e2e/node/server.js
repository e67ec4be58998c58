const os = require('node:os');

// Raises its own priority, which needs sys_nice.
os.setPriority(-5);
console.log(`priority ${os.getPriority()} as uid ${process.getuid()}`);
