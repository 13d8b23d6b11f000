/* data-scripted: a button that does nothing without a script is shown only where scripts run. */
"use strict";
hotline.onEveryPart((root) => {
  for (const button of hotline.all(root, "[data-scripted]")) button.hidden = false;
});
