// Filled in from package.json by the bundler and by the test runner.
declare const __HYPER_BAGEL_VERSION__: string;

/** The version of this package. */
export const version: string = __HYPER_BAGEL_VERSION__;
