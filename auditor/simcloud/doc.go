// Package simcloud is a simulated Huawei Cloud on a real HTTP port: identity (IAM v3 and v5), STS, Organizations, enterprise projects
// and the keys of servers and pods, as far as agencies and their permissions are concerned. It is written for any client, the
// official SDK first of all, and knows nothing of the auditor that is tested against it.
//
// An Organization says what there is and how the cloud behaves; New makes a Cloud of it. The Cloud answers the
// cloud's requests (ServeHTTP) and, on a port of its own, the requests of whoever steers the simulation (Control).
// Signatures are verified and permissions are enforced; wherever the vendor's documentation leaves open what the cloud
// does, one of Switches decides. "Facts N.N" in comments are sections of docs/huawei-iam.md, which holds what is
// known of the real cloud; what is not known there is called our inference.
package simcloud
