// Every page behind the sign-in that is not a chat.
import { startAppearance } from "./appearance.js";
import { startCopying } from "./copy.js";
import { Sidebar } from "./sidebar.js";
import { forgetOnLeaving } from "./storage.js";

startAppearance();
startCopying();
forgetOnLeaving();
new Sidebar(() => null).start();
